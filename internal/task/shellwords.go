package task

import (
	"fmt"
	"strings"

	"mendel/internal/research"
)

// splitWords splits a command line as a POSIX shell would, with quotes and backslashes. What only
// a running shell can do (pipes, variables, patterns, several commands) is refused.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("%s: a ' is not closed", line)
			}
			word.WriteString(line[i+1 : i+1+end])
			i, inWord = i+1+end, true
		case c == '"':
			n, err := doubleQuoted(line, i+1, &word)
			if err != nil {
				return nil, err
			}
			i, inWord = n, true
		case c == '\\':
			if i+1 == len(line) {
				return nil, fmt.Errorf("%s: nothing follows the last \\", line)
			}
			i++
			if line[i] != '\n' {
				word.WriteByte(line[i])
				inWord = true
			}
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case strings.IndexByte("|&;<>()$`*?[]~{}!", c) >= 0, c == '#' && !inWord:
			return nil, needsShell(line, c)
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("the command is empty")
	}
	return words, nil
}

// doubleQuoted reads from after a " to the closing one, and returns where that is.
func doubleQuoted(line string, i int, word *strings.Builder) (int, error) {
	for ; i < len(line); i++ {
		switch c := line[i]; c {
		case '"':
			return i, nil
		case '$', '`':
			return 0, needsShell(line, c)
		case '\\':
			if i+1 < len(line) && strings.IndexByte("$`\"\\\n", line[i+1]) >= 0 {
				if i++; line[i] == '\n' {
					continue
				}
			}
			word.WriteByte(line[i])
		default:
			word.WriteByte(c)
		}
	}
	return 0, fmt.Errorf("%s: a \" is not closed", line)
}

func needsShell(line string, c byte) error {
	return research.Hinted(fmt.Errorf("%s: %q has a meaning that only a shell knows", line, string(c)),
		"put quotes around it if it is meant literally; otherwise commit a script to the repository and run that: --run 'bash run.sh'")
}
