package command

import (
	"errors"
	"fmt"
	"strings"

	"mendel/internal/research"
)

// split splits a command line as a shell would, with quotes and backslashes, and expands
// nothing: what a shell would expand arrives at the agent as it is written.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune // that is open
	inWord, escaped := false, false
	for _, c := range line {
		switch {
		case escaped:
			// Between double quotes a backslash stands for itself, except before these two.
			if quote == '"' && c != '"' && c != '\\' {
				word.WriteByte('\\')
			}
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			inWord, quote = true, c
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("agent command %s: a %c is not closed", line, quote)
	case escaped:
		return nil, fmt.Errorf("agent command %s: nothing follows the last \\", line)
	case inWord:
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, research.Hinted(errors.New("the agent's command is empty"), "name a program: --proposer 'command:claude -p'")
	}
	return words, nil
}
