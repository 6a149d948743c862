package task

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A pyToken is one token of a Python program. Its kind says as much as the hash needs: code
// (name, number, string or operator, told apart by their text), and the line structure.
type pyToken struct{ kind, text string }

const (
	pyCode    = "code"
	pyNewline = "newline" // end of a logical line
	pyIndent  = "indent"
	pyDedent  = "dedent"
)

// errNotPython says that a source is written in a way that this tokenizer does not understand.
// It refuses rather than guess: whoever asks then compares bytes.
var errNotPython = errors.New("not understood as Python")

// pythonTokens splits a Python source as the language reference's chapter on lexical analysis
// says: https://docs.python.org/3/reference/lexical_analysis.html. A number, a string or an
// f-string with everything inside it is one token, with its text unchanged.
func pythonTokens(source []byte) ([]pyToken, error) {
	source = bytes.TrimPrefix(source, []byte("\xef\xbb\xbf"))
	text := strings.ReplaceAll(string(source), "\r\n", "\n")
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r") {
		return nil, errNotPython
	}
	s := &pyScanner{text: text, indents: []indent{{}}}
	if err := s.scan(); err != nil {
		return nil, err
	}
	return s.tokens, nil
}

// An indent is the width of a line's leading white space, with tabs to multiples of 8, and with
// tabs as 1. Where the two widths disagree about which line is deeper, Python refuses the file.
type indent struct{ wide, narrow int }

type pyScanner struct {
	text    string
	at      int
	depth   int // open brackets
	nesting int // open fields of f-strings
	indents []indent
	tokens  []pyToken
}

func (s *pyScanner) scan() error {
	lineStart := true
	for s.at < len(s.text) {
		if lineStart && s.depth == 0 {
			blank, err := s.indentation()
			if err != nil {
				return err
			}
			lineStart = blank
			if blank {
				if err := s.skipLine(); err != nil {
					return err
				}
				continue
			}
		}
		switch s.text[s.at] {
		case '\n':
			s.at++
			if s.depth == 0 {
				s.emit(pyNewline, "")
				lineStart = true
			}
		case ' ', '\t', '\f':
			s.at++
		case '#':
			if err := s.comment(); err != nil {
				return err
			}
		case '\\':
			// A continued line; nothing may follow the backslash but the next line.
			if !strings.HasPrefix(s.text[s.at:], "\\\n") || s.at+2 >= len(s.text) {
				return errNotPython
			}
			s.at += 2
		default:
			if err := s.token(); err != nil {
				return err
			}
		}
	}
	if s.depth > 0 {
		return errNotPython
	}
	if n := len(s.tokens); n > 0 && s.tokens[n-1].kind == pyCode {
		s.emit(pyNewline, "")
	}
	for range s.indents[1:] {
		s.emit(pyDedent, "")
	}
	return nil
}

func (s *pyScanner) emit(kind, text string) { s.tokens = append(s.tokens, pyToken{kind, text}) }

// indentation reads the white space that begins a line, and says whether the line has no code.
func (s *pyScanner) indentation() (blank bool, err error) {
	var here indent
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case ' ':
			here.wide, here.narrow = here.wide+1, here.narrow+1
			continue
		case '\t':
			here.wide, here.narrow = (here.wide/8+1)*8, here.narrow+1
			continue
		case '\f':
			here = indent{}
			continue
		}
		break
	}
	if s.at >= len(s.text) || s.text[s.at] == '\n' || s.text[s.at] == '#' {
		return true, nil
	}
	if s.text[s.at] == '\\' {
		return false, errNotPython // a continued line without code; its indentation is disputed
	}
	top := s.indents[len(s.indents)-1]
	switch {
	case here == top:
	case here.wide > top.wide && here.narrow > top.narrow:
		s.indents = append(s.indents, here)
		s.emit(pyIndent, "")
	case here.wide < top.wide && here.narrow < top.narrow:
		for s.indents[len(s.indents)-1].wide > here.wide {
			s.indents = s.indents[:len(s.indents)-1]
			s.emit(pyDedent, "")
		}
		if s.indents[len(s.indents)-1] != here {
			return false, errNotPython
		}
	default:
		return false, errNotPython
	}
	return false, nil
}

// skipLine passes a line without code.
func (s *pyScanner) skipLine() error {
	if s.at < len(s.text) && s.text[s.at] == '#' {
		if err := s.comment(); err != nil {
			return err
		}
	}
	if s.at < len(s.text) {
		s.at++ // the end of the line
	}
	return nil
}

// coding is PEP 263's declaration of a file's encoding: a comment that changes what the bytes mean.
var coding = regexp.MustCompile(`^#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)`)

func (s *pyScanner) comment() error {
	end := strings.IndexByte(s.text[s.at:], '\n')
	if end < 0 {
		end = len(s.text) - s.at
	}
	if m := coding.FindStringSubmatch(s.text[s.at : s.at+end]); m != nil && strings.Count(s.text[:s.at], "\n") < 2 {
		if name := strings.ToLower(m[1]); name != "utf-8" && name != "utf8" {
			return errNotPython
		}
	}
	s.at += end
	return nil
}

// token reads one name, number, string or operator.
func (s *pyScanner) token() error {
	start := s.at
	c := s.text[s.at]
	switch {
	case c == '"' || c == '\'':
		if err := s.str(false); err != nil {
			return err
		}
	case isDigit(c) || c == '.' && s.at+1 < len(s.text) && isDigit(s.text[s.at+1]):
		s.number()
	default:
		end := nameEnd(s.text, s.at)
		if end == s.at {
			return s.operator()
		}
		name := s.text[s.at:end]
		s.at = end
		if end < len(s.text) && (s.text[end] == '"' || s.text[end] == '\'') && isPrefix(name) {
			if err := s.str(strings.ContainsAny(name, "fFtT")); err != nil {
				return err
			}
		}
	}
	s.emit(pyCode, s.text[start:s.at])
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func nameEnd(text string, at int) int {
	for i, r := range text[at:] {
		if r == '_' || unicode.IsLetter(r) || i > 0 && unicode.In(r, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Pc) {
			continue
		}
		return at + i
	}
	return len(text)
}

// isPrefix says whether a name before a quote belongs to the string: r, b, rb, u, f, rf, t, rt.
func isPrefix(name string) bool {
	return slices.Contains([]string{"r", "b", "u", "f", "t", "rb", "br", "rf", "fr", "rt", "tr"}, strings.ToLower(name))
}

// number reads digits, letters, underscores and points, and the sign of an exponent. It takes
// `1if` as one token, which Python takes as two: another hash for an odd way to write it.
func (s *pyScanner) number() {
	start := s.at
	based := len(s.text) > start+1 && s.text[start] == '0' && strings.ContainsRune("xXoObB", rune(s.text[start+1]))
	for s.at < len(s.text) {
		c := s.text[s.at]
		signed := (c == '+' || c == '-') && !based && s.at > start && strings.ContainsRune("eE", rune(s.text[s.at-1])) &&
			s.at+1 < len(s.text) && isDigit(s.text[s.at+1])
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !isDigit(c) && !letter && !signed && c != '.' && c != '_' {
			return
		}
		s.at++
	}
}

// operators are tried in this order, the longest first.
var operators = []string{
	"**=", "//=", ">>=", "<<=", "...",
	"**", "//", ">>", "<<", "<=", ">=", "==", "!=", "<>", "->", ":=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=",
}

func (s *pyScanner) operator() error {
	op := ""
	for _, o := range operators {
		if strings.HasPrefix(s.text[s.at:], o) {
			op = o
			break
		}
	}
	if op == "" {
		op = s.text[s.at : s.at+1]
		switch op {
		case "(", "[", "{":
			s.depth++
		case ")", "]", "}":
			if s.depth--; s.depth < 0 {
				return errNotPython
			}
		default:
			if !strings.Contains("+-*/%@&|^~<>=.,:;!", op) {
				return errNotPython
			}
		}
	}
	s.at += len(op)
	s.emit(pyCode, op)
	return nil
}

// str reads a string from its opening quote. A backslash keeps a quote from ending it, also in a
// raw string.
func (s *pyScanner) str(formatted bool) error {
	quote := s.text[s.at : s.at+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], triple) {
		quote = triple
	}
	s.at += len(quote)
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case strings.HasPrefix(s.text[s.at:], quote):
			s.at += len(quote)
			return nil
		case c == '\n' && len(quote) == 1:
			return errNotPython
		case c == '\\' && formatted && strings.HasPrefix(s.text[s.at+1:], "{"):
			s.at++ // the brace still opens a field
		case c == '\\':
			s.at += 2
		case formatted && strings.HasPrefix(s.text[s.at:], "{{"):
			s.at += 2
		case formatted && c == '{':
			if err := s.field(quote); err != nil {
				return err
			}
		default:
			s.at++
		}
	}
	return errNotPython
}

// field reads a replacement field of an f-string, from { to }, with strings and fields inside it.
// Since Python 3.12 these may use the quotes of the string around them.
func (s *pyScanner) field(quote string) error {
	const deepest = 50
	if s.nesting++; s.nesting > deepest {
		return errNotPython
	}
	defer func() { s.nesting-- }()
	s.at++
	open := 0
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '}' && open == 0:
			s.at++
			return nil
		case c == ':' && open == 0:
			s.at++
			return s.format(quote)
		case strings.IndexByte("([{", c) >= 0:
			open++
			s.at++
		case strings.IndexByte(")]}", c) >= 0:
			open--
			s.at++
		case c == '"' || c == '\'':
			if err := s.quoted(); err != nil {
				return err
			}
		case c == '#', c == '\\', c == '\n' && len(quote) == 1:
			return errNotPython
		default:
			s.at++
		}
	}
	return errNotPython
}

// quoted reads a string inside a field; the letters before it say whether it has fields itself.
func (s *pyScanner) quoted() error {
	start := s.at
	for start > 0 && strings.IndexByte("rRbBuUfFtT", s.text[start-1]) >= 0 {
		start--
	}
	return s.str(strings.ContainsAny(s.text[start:s.at], "fFtT"))
}

// format reads what follows the colon of a field, up to the field's closing brace.
func (s *pyScanner) format(quote string) error {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '}':
			s.at++
			return nil
		case c == '{':
			if err := s.field(quote); err != nil {
				return err
			}
		case strings.HasPrefix(s.text[s.at:], quote), c == '\n', c == '\\':
			return errNotPython
		default:
			s.at++
		}
	}
	return errNotPython
}
