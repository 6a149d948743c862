package task

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/ulikunitz/xz/lzma"
)

// Some recipes are published as Python that runs a packed literal, so that their code takes few
// bytes: exec(lzma.decompress(base64.b85decode("…"))). Nobody could edit that, so what agents get
// is the source in it. The literal is read as text and decoded here; no line of the file runs.

const lzmaBase85 unwrap = "lzma-base85"

// base85Alphabet is that of Python's base64.b85encode (RFC 1924).
const base85Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"

var packedLiteral = regexp.MustCompile(`b85decode\(\s*b?(?:"([^"\\\n]*)"|'([^'\\\n]*)')\s*\)`)

// unwrapped is the source in a self-decoding Python file: raw LZMA2 in base 85.
func unwrapped(python []byte) ([]byte, error) {
	found := packedLiteral.FindAllSubmatch(python, 2)
	if len(found) != 1 {
		return nil, fmt.Errorf("holds %d literals in b85decode(…), and exactly one is expected", len(found))
	}
	packed, err := base85(string(found[0][1]) + string(found[0][2]))
	if err != nil {
		return nil, fmt.Errorf("its literal is not base 85: %w", err)
	}
	r, err := lzma.Reader2Config{DictCap: 8 << 20}.NewReader2(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("its literal is not LZMA2: %w", err)
	}
	source, err := io.ReadAll(io.LimitReader(r, maxRecipeFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its literal is not LZMA2: %w", err)
	case len(source) > maxRecipeFile:
		return nil, fmt.Errorf("its literal unpacks to more than %d bytes", maxRecipeFile)
	}
	return source, nil
}

// base85 decodes groups of five digits into four bytes. A last group of n digits gives n-1 bytes.
func base85(text string) ([]byte, error) {
	var out []byte
	for len(text) > 0 {
		group := text[:min(5, len(text))]
		text = text[len(group):]
		if len(group) == 1 {
			return nil, errors.New("it ends in the middle of a group")
		}
		var v uint64
		for i := range 5 {
			digit := len(base85Alphabet) - 1 // padding
			if i < len(group) {
				if digit = strings.IndexByte(base85Alphabet, group[i]); digit < 0 {
					return nil, fmt.Errorf("%q is no digit", group[i])
				}
			}
			v = v*85 + uint64(digit)
		}
		if v > 1<<32-1 {
			return nil, fmt.Errorf("the group %q is too large", group)
		}
		out = append(out, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}[:len(group)-1]...)
	}
	return out, nil
}
