// The entries of a tar archive as Go's archive/tar yields them: containerd reads layers with it.
package main

import (
	"archive/tar"
	"bytes"
	"io"
	"slices"

	"slimgate.dev/tests/oracles/ask"
)

type entry struct {
	Name   []byte      `json:"name"`
	Type   byte        `json:"type"`
	Mode   int64       `json:"mode"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	Size   int64       `json:"size"`
	Link   []byte      `json:"link"`
	Major  int64       `json:"major"`
	Minor  int64       `json:"minor"`
	Xattrs [][2][]byte `json:"xattrs"`
	Body   []byte      `json:"body"`
}

const bodyLimit = 1 << 16

func main() { ask.Serve(list) }

func list(archive []byte) any {
	entries := []entry{}
	// A layer is a stream to containerd: what can seek is skipped through otherwise.
	reader := tar.NewReader(struct{ io.Reader }{bytes.NewReader(archive)})
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return map[string]any{"entries": entries}
		}
		if err == nil {
			var read entry
			if read, err = described(reader, header); err == nil {
				entries = append(entries, read)
				continue
			}
		}
		return map[string]any{"entries": entries, "error": err.Error()}
	}
}

func described(reader *tar.Reader, header *tar.Header) (entry, error) {
	found := entry{
		Name: []byte(header.Name), Type: header.Typeflag, Mode: header.Mode,
		UID: header.Uid, GID: header.Gid, Size: header.Size, Link: []byte(header.Linkname),
		Major: header.Devmajor, Minor: header.Devminor, Xattrs: xattrs(header),
	}
	// A body is read as containerd would: of regular files only, and to its end. Of a huge
	// sparse file the beginning must do.
	if header.Typeflag != tar.TypeReg {
		return found, nil
	}
	body, err := io.ReadAll(io.LimitReader(reader, bodyLimit))
	found.Body = body
	return found, err
}

func xattrs(header *tar.Header) [][2][]byte {
	found := [][2][]byte{}
	for key, value := range header.PAXRecords {
		if name, is := bytes.CutPrefix([]byte(key), []byte("SCHILY.xattr.")); is {
			found = append(found, [2][]byte{name, []byte(value)})
		}
	}
	slices.SortFunc(found, func(a, b [2][]byte) int { return bytes.Compare(a[0], b[0]) })
	return found
}
