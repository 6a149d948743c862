package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"

	"mendel/internal/research"
)

// The colours are those of Okabe and Ito, which people with the common colour deficiencies tell
// apart. Each kind of ending also has a shape of its own, so that a grey print can be read.
const (
	blue    = "#0072B2"
	orange  = "#E69F00"
	red     = "#D55E00"
	grey    = "#8C8C8C"
	ink     = "#222222"
	faint   = "#DDDDDD"
	shading = "#EEF3F7"
)

// A picture collects the elements of an SVG.
type picture struct {
	width, height float64
	b             strings.Builder
}

func (p *picture) add(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *picture) line(x1, y1, x2, y2 float64, colour string, width float64) {
	p.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%g"/>`, x1, y1, x2, y2, colour, width)
}

func (p *picture) text(x, y float64, anchor, attributes, text string) {
	p.add(`<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`, x, y, anchor, attributes, html.EscapeString(text))
}

// mark draws how a trial ended, with a title that is shown under the pointer.
func (p *picture) mark(x, y float64, status research.Status, hollow bool, title string) {
	m := markOf(status)
	fill := m.colour
	if hollow {
		fill = "white"
	}
	p.add(`<g fill="%s" stroke="%s" stroke-width="1"><title>%s</title>`, fill, m.colour, html.EscapeString(title))
	switch m.shape {
	case "circle":
		p.add(`<circle cx="%.1f" cy="%.1f" r="%g"/>`, x, y, m.size)
	case "triangle":
		p.add(`<path d="M%.1f %.1fl%g %gh%gz"/>`, x, y-m.size, m.size, 2*m.size, -2*m.size)
	case "square":
		p.add(`<rect x="%.1f" y="%.1f" width="%g" height="%g"/>`, x-m.size, y-m.size, 2*m.size, 2*m.size)
	case "cross":
		p.add(`<path d="M%.1f %.1fl%g %gm0 %gl%g %g" stroke-width="1.6"/>`, x-m.size, y-m.size, 2*m.size, 2*m.size, -2*m.size, -2*m.size, 2*m.size)
	}
	p.add(`</g>`)
}

type mark struct {
	shape, colour string
	size          float64
}

// markOf is how a kind of ending looks.
func markOf(status research.Status) mark {
	switch {
	case status == research.StatusKeep || status == research.StatusBaseline:
		return mark{"circle", blue, 4.5}
	case status.Stopped():
		return mark{"triangle", orange, 3.2}
	case status == research.StatusDiscard:
		return mark{"circle", grey, 2.4}
	case crashed(status):
		return mark{"cross", red, 2.6}
	}
	return mark{"square", grey, 2.2}
}

func crashed(s research.Status) bool {
	return s == research.Status(research.Crash) || s == research.Status(research.PreflightCrash)
}

// legend explains the marks that a picture uses.
func (p *picture) legend(x, y float64, statuses map[research.Status]bool) {
	for _, entry := range []struct {
		word string
		as   research.Status
		of   func(research.Status) bool
	}{
		{"kept", research.StatusKeep, func(s research.Status) bool { return s == research.StatusKeep || s == research.StatusBaseline }},
		{"valid, not better", research.StatusDiscard, func(s research.Status) bool { return s == research.StatusDiscard }},
		{"stopped by a gate or limit", research.Status(research.Disqualified), research.Status.Stopped},
		{"crashed", research.Status(research.Crash), crashed},
		{"harness failed", research.Status(research.Aborted), func(s research.Status) bool { return s == research.Status(research.Aborted) }},
	} {
		used := false
		for s := range statuses {
			used = used || entry.of(s)
		}
		if !used {
			continue
		}
		p.mark(x+5, y-4, entry.as, false, entry.word)
		p.text(x+15, y, "start", `font-size="12"`, entry.word)
		x += 28 + 6.3*float64(len(entry.word))
	}
}

// svg closes the picture. It scales with its page; label says to those who cannot see it what it shows.
func (p *picture) svg(label string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %g %g" width="100%%" role="img" aria-label="%s" xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12" fill="%s">
%s</svg>`, math.Ceil(p.width), math.Ceil(p.height), html.EscapeString(label), ink, p.b.String()))
}
