// Command interop holds Fabula's audit log against golang.org/x/mod/sumdb: `check` verifies what Fabula wrote with Go's own code,
// `make` writes the same files from the entries alone.
//
//	interop check DIR        DIR/input.json, DIR/note-<size>, DIR/proofs.txt, DIR/tile/…
//	interop make DIR OUT     DIR/input.json → OUT/note-<size>, OUT/proofs.txt, OUT/tile/…
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type input struct {
	Skey    string   `json:"skey"`
	Vkey    string   `json:"vkey"`
	Origin  string   `json:"origin"`
	Sizes   []int64  `json:"sizes"`
	Entries []string `json:"entries"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: interop check DIR | interop make DIR OUT")
	}
	var in input
	text, err := os.ReadFile(filepath.Join(args[1], "input.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	switch {
	case args[0] == "check" && len(args) == 2:
		return check(in, args[1])
	case args[0] == "make" && len(args) == 3:
		return makeAll(in, args[2])
	}
	return errors.New("usage: interop check DIR | interop make DIR OUT")
}

func (in input) entry(i int64) ([]byte, error) {
	return base64.StdEncoding.DecodeString(in.Entries[i])
}

// stored keeps the hashes of the whole tree in the order of tlog.StoredHashIndex.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = s[at]
	}
	return out, nil
}

func (in input) tree() (stored, error) {
	var hashes stored
	for i := range in.Entries {
		entry, err := in.entry(int64(i))
		if err != nil {
			return nil, err
		}
		more, err := tlog.StoredHashes(int64(i), entry, hashes)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, more...)
	}
	return hashes, nil
}

// tilePath is C2SP's: Go's own names the height, which there is always 8.
func tilePath(t tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", height))
}

func entriesPath(t tlog.Tile) string {
	return strings.Replace(tilePath(t), "tile/0/", "tile/entries/", 1)
}

func makeAll(in input, out string) error {
	hashes, err := in.tree()
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(in.Skey)
	if err != nil {
		return err
	}
	var proofs bytes.Buffer
	for _, size := range in.Sizes {
		root, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%s\n%d\n%s\n", in.Origin, size, root)
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			return err
		}
		if err := write(out, fmt.Sprintf("note-%d", size), signed); err != nil {
			return err
		}
		for index := int64(0); index < size; index += step(size) {
			proof, err := tlog.ProveRecord(size, index, hashes)
			if err != nil {
				return err
			}
			proofLine(&proofs, "inclusion", size, index, proof)
		}
		for _, before := range in.Sizes {
			if before > size {
				continue
			}
			proof, err := tlog.ProveTree(size, before, hashes)
			if err != nil {
				return err
			}
			proofLine(&proofs, "consistency", size, before, proof)
		}
		for _, tile := range tlog.NewTiles(height, 0, size) {
			data, err := tlog.ReadTileData(tile, hashes)
			if err != nil {
				return err
			}
			if err := write(out, tilePath(tile), data); err != nil {
				return err
			}
			if tile.L != 0 {
				continue
			}
			entries, err := in.entriesOf(tile)
			if err != nil {
				return err
			}
			if err := write(out, entriesPath(tile), entries); err != nil {
				return err
			}
		}
	}
	return write(out, "proofs.txt", proofs.Bytes())
}

// step: of large trees some leaves, of others all.
func step(size int64) int64 {
	if size > 1000 {
		return 97
	}
	return 1
}

func (in input) entriesOf(t tlog.Tile) ([]byte, error) {
	var all []byte
	for i := int64(0); i < int64(t.W); i++ {
		entry, err := in.entry(t.N<<height + i)
		if err != nil {
			return nil, err
		}
		all = binary.BigEndian.AppendUint16(all, uint16(len(entry)))
		all = append(all, entry...)
	}
	return all, nil
}

func proofLine(to *bytes.Buffer, kind string, size, at int64, proof []tlog.Hash) {
	fmt.Fprintf(to, "%s %d %d", kind, size, at)
	for _, hash := range proof {
		fmt.Fprintf(to, " %s", hash)
	}
	to.WriteByte('\n')
}

func write(dir, name string, data []byte) error {
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// folder reads tiles as a client of a static log does.
type folder string

func (f folder) Height() int { return height }
func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), tilePath(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}
func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func check(in input, dir string) error {
	verifier, err := note.NewVerifier(in.Vkey)
	if err != nil {
		return err
	}
	roots := map[int64]tlog.Hash{}
	for _, size := range in.Sizes {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("note-%d", size)))
		if err != nil {
			return err
		}
		opened, err := note.Open(text, note.VerifierList(verifier))
		if err != nil {
			return fmt.Errorf("note of %d: %w", size, err)
		}
		lines := strings.Split(opened.Text, "\n")
		if len(lines) != 4 || lines[0] != in.Origin || lines[1] != strconv.FormatInt(size, 10) || lines[3] != "" {
			return fmt.Errorf("note of %d says something else: %q", size, opened.Text)
		}
		if roots[size], err = tlog.ParseHash(lines[2]); err != nil {
			return err
		}
		if err := checkTiles(in, dir, tlog.Tree{N: size, Hash: roots[size]}); err != nil {
			return fmt.Errorf("tiles of %d: %w", size, err)
		}
	}
	return checkProofs(in, dir, roots)
}

// checkTiles reads every leaf's hash and every proof out of the tiles, which TileHashReader first authenticates against the root.
func checkTiles(in input, dir string, tree tlog.Tree) error {
	reader := tlog.TileHashReader(tree, folder(dir))
	for index := int64(0); index < tree.N; index += step(tree.N) {
		entry, err := in.entry(index)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
			return fmt.Errorf("leaf %d: %w", index, err)
		}
	}
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		if tile.L != 0 {
			continue
		}
		found, err := os.ReadFile(filepath.Join(dir, entriesPath(tile)))
		if err != nil {
			return err
		}
		expected, err := in.entriesOf(tile)
		if err != nil {
			return err
		}
		if !bytes.Equal(found, expected) {
			return fmt.Errorf("%s holds other entries", entriesPath(tile))
		}
	}
	return nil
}

func checkProofs(in input, dir string, roots map[int64]tlog.Hash) error {
	text, err := os.ReadFile(filepath.Join(dir, "proofs.txt"))
	if err != nil {
		return err
	}
	for number, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		words := strings.Split(line, " ")
		if len(words) < 3 {
			return fmt.Errorf("proofs.txt:%d is no proof", number+1)
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return err
		}
		at, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return err
		}
		var hashes []tlog.Hash
		for _, word := range words[3:] {
			hash, err := tlog.ParseHash(word)
			if err != nil {
				return err
			}
			hashes = append(hashes, hash)
		}
		switch words[0] {
		case "inclusion":
			entry, entryErr := in.entry(at)
			if entryErr != nil {
				return entryErr
			}
			err = tlog.CheckRecord(hashes, size, roots[size], at, tlog.RecordHash(entry))
		case "consistency":
			err = tlog.CheckTree(hashes, size, roots[size], at, roots[at])
		default:
			err = errors.New("unknown kind")
		}
		if err != nil {
			return fmt.Errorf("proofs.txt:%d: %w", number+1, err)
		}
	}
	return nil
}
