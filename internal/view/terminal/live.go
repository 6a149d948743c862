package terminal

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"mendel/internal/control"
	"mendel/internal/lineage"
)

// A Screen is the live view of a run at work.
type Screen struct {
	Reader    *lineage.Reader
	Dir       string
	Live      func(context.Context) (control.Live, error)
	Interrupt func() // what Ctrl-C does
	Style     Style
	Now       func() time.Time
}

// Show draws the screen until done is closed. Ctrl-C calls Interrupt, each time it is pressed.
func (sc Screen) Show(ctx context.Context, done <-chan struct{}) error {
	m := &model{screen: sc, ctx: ctx, height: 40, width: sc.Style.Width}
	program := tea.NewProgram(m, tea.WithContext(ctx), tea.WithoutSignalHandler())
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-done:
		case <-ctx.Done():
		}
		program.Send(ended{})
	}()
	_, err := program.Run()
	if err != nil && ctx.Err() == nil {
		return err
	}
	<-finished
	return nil
}

type ended struct{}
type refreshed struct {
	overview Overview
	err      error
}
type tick struct{}

type model struct {
	screen        Screen
	ctx           context.Context
	overview      Overview
	loaded        bool
	failed        error
	width, height int
	stops         int
	over          bool
}

func (m *model) Init() tea.Cmd { return m.refresh }

// refresh reads what there is to show; it runs beside the screen's own goroutine.
func (m *model) refresh() tea.Msg {
	ctx, cancel := context.WithTimeout(m.ctx, 2*time.Second)
	defer cancel()
	var live *control.Live
	if l, err := m.screen.Live(ctx); err == nil {
		live = &l
	}
	o, err := Collect(m.screen.Reader, m.screen.Dir, live, 12)
	return refreshed{o, err}
}

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		if s := msg.String(); s == "ctrl+c" || s == "q" {
			m.stops++
			m.screen.Interrupt()
		}
	case refreshed:
		m.failed = msg.err
		if msg.err == nil {
			m.overview, m.loaded = msg.overview, true
		}
		if m.over {
			return m, tea.Quit
		}
		return m, tea.Tick(250*time.Millisecond, func(time.Time) tea.Msg { return tick{} })
	case tick:
		return m, m.refresh
	case ended:
		if m.over {
			return m, tea.Quit
		}
		m.over = true
		return m, m.refresh
	}
	return m, nil
}

func (m *model) View() tea.View {
	s := m.screen.Style
	s.Width = m.width - 2
	if !m.loaded {
		return tea.NewView("  starting …\n")
	}
	now := m.screen.Now()
	lines := headLines(m.overview, now, s)
	if m.overview.Live != nil && !m.over {
		lines = append(lines, "")
		lines = append(lines, liveLines(*m.overview.Live, now, s)...)
	}
	lines = append(lines, "", "last verdicts")
	room := max(m.height-len(lines)-4, 3)
	for i, t := range m.overview.Recent {
		if i == room {
			break
		}
		lines = append(lines, "  "+VerdictLine(t, m.overview.Score, s))
	}
	if !m.over {
		lines = append(lines, "", s.Faint(m.footer()))
	}
	return tea.NewView(strings.Join(lines, "\n") + "\n")
}

func (m *model) footer() string {
	switch m.stops {
	case 0:
		return "  Ctrl-C: no new work, running trials finish"
	case 1:
		return "  stopping: running trials finish; Ctrl-C again kills them"
	default:
		return "  killing the running trials …"
	}
}
