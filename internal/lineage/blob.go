package lineage

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"mendel/internal/research"
)

// A codec is how a blob's data is stored. Values are stored: add, never rename.
type codec string

const (
	plain          codec = "raw"
	compressed     codec = "zstd"
	compressedFrom codec = "zstd+base" // with another blob as dictionary: the same file of the baseline's tree
)

const (
	// minCompressed is where compression starts to pay for its own header.
	minCompressed = 64
	// dictionaryID marks frames that need their base; any constant does, because the row names it.
	dictionaryID = 1
	// maxWindow bounds the memory that a hostile frame can ask for.
	maxWindow = 64 << 20
	// maxBlob bounds what one blob decompresses to.
	maxBlob = 1 << 30
)

// putBlobs stores the blobs that a fact names. It refuses a fact that names a blob which is neither
// given nor stored, and a blob that the fact does not name: nothing in the file is unaccounted for.
func (s *Store) putBlobs(fact research.Fact, blobs []Blob) error {
	given := make(map[research.Hash][]byte, len(blobs))
	for _, b := range blobs {
		if hashOf(b.Data) != b.Hash {
			return misfit(fact, "a blob is named %s, but its content is another", b.Hash.Short())
		}
		if given[b.Hash] = b.Data; b.Data == nil {
			given[b.Hash] = []byte{} // nil would say that it was not given
		}
	}
	named := map[research.Hash]bool{}
	put := func(hash, base research.Hash) error {
		if named[hash] {
			return nil
		}
		named[hash] = true
		return s.putBlob(fact, hash, given[hash], base)
	}
	for _, hash := range contents(fact) {
		if err := put(hash, ""); err != nil {
			return err
		}
	}
	if root := treeOf(fact); root != "" {
		if err := s.putTree(fact, root, given, put); err != nil {
			return err
		}
	}
	for hash := range given {
		if !named[hash] {
			return misfit(fact, "it does not name the blob %s that came with it", hash.Short())
		}
	}
	return nil
}

func (s *Store) putTree(fact research.Fact, root research.Hash, given map[research.Hash][]byte, put func(hash, base research.Hash) error) error {
	files, err := s.manifest(fact, root, given)
	if err != nil {
		return err
	}
	bases := map[string]research.Hash{}
	if _, first := fact.(research.Registered); !first && root != s.reg.BaselineTree {
		baseline, err := s.manifest(fact, s.reg.BaselineTree, nil)
		if err != nil {
			return err
		}
		for _, f := range baseline {
			bases[f.Path] = f.Hash
		}
		bases[""] = s.reg.BaselineTree
	}
	for _, f := range files {
		if err := put(f.Hash, bases[f.Path]); err != nil {
			return err
		}
		if data, ok := given[f.Hash]; ok && int64(len(data)) != f.Size {
			return misfit(fact, "tree %s gives %s another size than it has", root.Short(), f.Path)
		}
	}
	return put(root, bases[""])
}

func (s *Store) manifest(fact research.Fact, root research.Hash, given map[research.Hash][]byte) ([]research.TreeFile, error) {
	data, ok := given[root]
	if !ok {
		var err error
		if data, err = readBlob(s.writer, root); err != nil {
			return nil, misfit(fact, "its tree: %v", err)
		}
	}
	files, err := parseManifest(data)
	if err != nil {
		return nil, misfit(fact, "tree %s: %v", root.Short(), err)
	}
	return files, nil
}

// putBlob stores one blob that may be stored already; then data may be nil.
func (s *Store) putBlob(fact research.Fact, hash research.Hash, data []byte, base research.Hash) error {
	var one int
	if err := s.writer.row(`SELECT 1 FROM blobs WHERE hash = ?`, []any{string(hash)}, &one); err == nil {
		return nil
	} else if !isNone(err) {
		return err
	}
	if data == nil {
		return misfit(fact, "the blob %s is neither stored nor given", hash.Short())
	}
	if len(data) > maxBlob {
		return misfit(fact, "the blob %s is larger than %d bytes", hash.Short(), maxBlob)
	}
	kind, stored := plain, data
	if len(data) >= minCompressed {
		var err error
		if kind, stored, err = s.deflate.compress(s.writer, data, base); err != nil {
			return err
		}
	}
	if kind != compressedFrom {
		base = ""
	}
	return s.writer.exec(`INSERT INTO blobs (hash, size, base, codec, stored_hash, data) VALUES (?, ?, ?, ?, ?, ?)`,
		string(hash), len(data), string(base), string(kind), string(hashOf(stored)), stored)
}

// readBlob gives the content of a stored blob, checked against its hash.
func readBlob(s *session, hash research.Hash) ([]byte, error) {
	row, err := blobRow(s, hash)
	if err != nil {
		return nil, err
	}
	return row.content(s)
}

// A storedBlob is one row of the blobs table.
type storedBlob struct {
	hash       research.Hash
	size       int64
	base       research.Hash
	codec      codec
	storedHash research.Hash
	data       []byte
}

func scanBlob(row scanner) (b storedBlob, err error) {
	err = row.Scan(&b.hash, &b.size, &b.base, &b.codec, &b.storedHash, &b.data)
	return b, err
}

const blobColumns = `hash, size, base, codec, stored_hash, data`

func blobRow(s *session, hash research.Hash) (storedBlob, error) {
	rows, err := collect(s, scanBlob, `SELECT `+blobColumns+` FROM blobs WHERE hash = ?`, string(hash))
	if err != nil {
		return storedBlob{}, err
	}
	if len(rows) == 0 {
		return storedBlob{}, fmt.Errorf("blob %s is missing", hash.Short())
	}
	return rows[0], nil
}

// content decompresses a row and checks everything that it says about itself.
func (b storedBlob) content(s *session) ([]byte, error) {
	fail := func(problem string) ([]byte, error) { return nil, fmt.Errorf("blob %s: %s", b.hash.Short(), problem) }
	if hashOf(b.data) != b.storedHash {
		return fail("its stored bytes do not have their hash")
	}
	if b.size < 0 || b.size > maxBlob {
		return fail("its size is out of range")
	}
	if (b.codec == compressedFrom) != (b.base != "") {
		return fail("its codec and its base contradict each other")
	}
	data := b.data
	if b.codec != plain {
		var err error
		if data, err = b.decompress(s); err != nil {
			return fail(err.Error())
		}
	}
	if int64(len(data)) != b.size {
		return fail(fmt.Sprintf("it has %d bytes, not %d", len(data), b.size))
	}
	if hashOf(data) != b.hash {
		return fail("its content does not have its hash")
	}
	return data, nil
}

func (b storedBlob) decompress(s *session) ([]byte, error) {
	if b.codec != compressed && b.codec != compressedFrom {
		return nil, fmt.Errorf("%q is not a codec that this program knows", b.codec)
	}
	decoder, err := s.decoder(b.base)
	if err != nil {
		return nil, err
	}
	return decoder.DecodeAll(b.data, make([]byte, 0, min(b.size, 16<<20)))
}

// decoder gives the decoder for frames against base, or against nothing where base is "". Like
// encoders, decoders are kept.
func (s *session) decoder(base research.Hash) (*zstd.Decoder, error) {
	if d, ok := s.decoders[base]; ok {
		return d, nil
	}
	options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxBlob)}
	if base != "" {
		row, err := blobRow(s, base)
		if err != nil {
			return nil, fmt.Errorf("its base: %w", err)
		}
		if row.base != "" {
			return nil, errors.New("its base has a base itself")
		}
		dictionary, err := row.content(s)
		if err != nil {
			return nil, fmt.Errorf("its base: %w", err)
		}
		options = append(options, zstd.WithDecoderDictRaw(dictionaryID, dictionary))
	}
	d, err := zstd.NewReader(nil, options...)
	if err != nil {
		return nil, err
	}
	if len(s.decoders) >= maxCoders {
		s.forgetDecoders()
	}
	s.decoders[base] = d
	return d, nil
}

func (s *session) forgetDecoders() {
	for _, d := range s.decoders {
		d.Close()
	}
	clear(s.decoders)
}

// A compressor keeps the encoders that a run needs again and again: making one costs more than
// compressing a recipe.
type compressor struct {
	encoders map[research.Hash]*zstd.Encoder
}

// maxCoders bounds the memory for recipes of very many files.
const maxCoders = 16

func newCompressor() *compressor { return &compressor{encoders: map[research.Hash]*zstd.Encoder{}} }

// compress encodes data, where that makes it smaller, against base where it is not "".
func (c *compressor) compress(s *session, data []byte, base research.Hash) (codec, []byte, error) {
	encoder, ok := c.encoders[base]
	if !ok {
		options := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1 << 20), zstd.WithEncoderCRC(false)}
		if base != "" {
			dictionary, err := readBlob(s, base)
			if err != nil {
				return "", nil, err
			}
			options = append(options, zstd.WithEncoderDictRaw(dictionaryID, dictionary))
		}
		var err error
		if encoder, err = zstd.NewWriter(nil, options...); err != nil {
			return "", nil, err
		}
		if len(c.encoders) >= maxCoders {
			clear(c.encoders)
		}
		c.encoders[base] = encoder
	}
	packed := encoder.EncodeAll(data, nil)
	switch {
	case len(packed) >= len(data):
		return plain, data, nil
	case base != "":
		return compressedFrom, packed, nil
	}
	return compressed, packed, nil
}
