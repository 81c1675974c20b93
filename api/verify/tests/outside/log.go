// Reads a log of ours with Go's own packages, those of its checksum database: golang.org/x/mod/sumdb.
// Nothing of ours is in here.
//
//	go run log.go FOLDER < QUESTION
//
// FOLDER holds the log's files (C2SP tlog-tiles). QUESTION is JSON:
//
//	{"log": vkey, "witness": vkey, "older": [note...], "consistency": [[hash...]...], "proofs": [".tlog-proof"...]}
//
// older are checkpoints of the same log, and consistency our proofs from each of them to the newest.
// It says what it found, and ends with status 1 at the first thing that is not right.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Log, Witness string
	Older        []string
	Consistency  [][]string
	Proofs       []string
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func need(ok bool, format string, values ...interface{}) {
	if !ok {
		check(fmt.Errorf(format, values...))
	}
}

// cosigner verifies C2SP tlog-cosignature, which sumdb/note does not know, by its interface.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(c.key, []byte(text), sig[8:])
}

func newCosigner(vkey string) note.Verifier {
	parts := strings.SplitN(vkey, "+", 3)
	need(len(parts) == 3, "no witness's key: %s", vkey)
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	check(err)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	check(err)
	need(len(key) == 33 && key[0] == 4, "no witness's key: %s", vkey)
	return cosigner{parts[0], uint32(hash), key[1:]}
}

// tree opens a checkpoint with the keys that are known and reads it as a tree of the checksum database.
func tree(text string, known note.Verifiers, signatures int) tlog.Tree {
	opened, err := note.Open([]byte(text), known)
	check(err)
	need(len(opened.Sigs) == signatures, "%d signatures, not %d", len(opened.Sigs), signatures)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: root}
}

func hashes(lines []string) []tlog.Hash {
	var found []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		check(err)
		found = append(found, hash)
	}
	return found
}

// files reads tiles by the paths of tlog-tiles, which leave out the height of the checksum database's.
type files string

func (files) Height() int { return 8 }
func (folder files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(folder), path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}
func (files) SaveTiles([]tlog.Tile, [][]byte) {}

func entries(folder files, size int64) [][]byte {
	var found [][]byte
	for tile := int64(0); tile*256 < size; tile++ {
		part := tlog.Tile{H: 8, L: 0, N: tile, W: int(min(256, size-tile*256))}
		path := strings.Replace(part.Path(), "tile/8/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(string(folder), path))
		check(err)
		for len(data) > 0 {
			length := 2 + int(binary.BigEndian.Uint16(data))
			found = append(found, data[2:length])
			data = data[length:]
		}
	}
	return found
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func main() {
	folder := files(os.Args[1])
	var asked question
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	log, err := note.NewVerifier(asked.Log)
	check(err)
	known := note.VerifierList(log, newCosigner(asked.Witness))

	text, err := os.ReadFile(filepath.Join(string(folder), "checkpoint"))
	check(err)
	newest := tree(string(text), known, 2)
	fmt.Printf("the newest checkpoint is signed and cosigned: %d entries\n", newest.N)

	// The reader checks every tile against the root before it answers from it.
	reader := tlog.TileHashReader(newest, folder)
	records := entries(folder, newest.N)
	need(int64(len(records)) == newest.N, "%d entries, not %d", len(records), newest.N)
	for index, record := range records {
		proof, err := tlog.ProveRecord(newest.N, int64(index), reader)
		check(err)
		check(tlog.CheckRecord(proof, newest.N, newest.Hash, int64(index), tlog.RecordHash(record)))
	}
	fmt.Printf("%d entries are in the tiles, and the tiles lead to the root\n", len(records))

	for number, text := range asked.Older {
		older := tree(text, known, 2)
		fromTiles, err := tlog.ProveTree(newest.N, older.N, reader)
		check(err)
		check(tlog.CheckTree(fromTiles, newest.N, newest.Hash, older.N, older.Hash))
		ours := tlog.TreeProof(hashes(asked.Consistency[number]))
		check(tlog.CheckTree(ours, newest.N, newest.Hash, older.N, older.Hash))
		need(len(ours) == len(fromTiles), "the proofs differ")
	}
	fmt.Printf("%d older checkpoints are cosigned and continued\n", len(asked.Older))

	for _, proof := range asked.Proofs {
		parts := strings.SplitN(proof, "\n\n", 2)
		lines := strings.Split(parts[0], "\n")
		need(lines[0] == "c2sp.org/tlog-proof@v1", "no proof: %s", lines[0])
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		check(err)
		at := tree(parts[1], known, 2)
		path := tlog.RecordProof(hashes(lines[2:]))
		leaf := tlog.RecordHash(records[index])
		check(tlog.CheckRecord(path, at.N, at.Hash, index, leaf))
		need(tlog.CheckRecord(path, at.N, at.Hash, index+1, leaf) != nil, "the check accepts anything")
	}
	fmt.Printf("%d proofs of inclusion are right\n", len(asked.Proofs))

	forged := bytes.Replace(text, []byte("\n"+strconv.FormatInt(newest.N, 10)+"\n"), []byte("\n1\n"), 1)
	_, err = note.Open(forged, known)
	need(err != nil, "a forged checkpoint is accepted")
}
