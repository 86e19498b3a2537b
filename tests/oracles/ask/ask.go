// Package ask is how the tests talk to an oracle: a question on stdin is four bytes of length
// (big endian) and as many bytes; its answer is one line of JSON on stdout, at once.
package ask

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Failed is the answer where the code under question returns an error.
func Failed(err error) map[string]any { return map[string]any{"error": err.Error()} }

// Serve answers every question until stdin ends. A panic is an answer, too: it is what a node
// would die of. Byte slices come out as base64, so that names need not be UTF-8.
func Serve(answer func(question []byte) any) {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)
	for {
		var length uint32
		if err := binary.Read(in, binary.BigEndian, &length); err == io.EOF {
			return
		} else if err != nil {
			fail(err)
		}
		question := make([]byte, length)
		if _, err := io.ReadFull(in, question); err != nil {
			fail(err)
		}
		line, err := json.Marshal(guarded(answer, question))
		if err != nil {
			fail(err)
		}
		out.Write(append(line, '\n'))
		if err := out.Flush(); err != nil {
			fail(err)
		}
	}
}

func guarded(answer func([]byte) any, question []byte) (result any) {
	defer func() {
		if reason := recover(); reason != nil {
			result = map[string]any{"panic": fmt.Sprint(reason)}
		}
	}()
	return answer(question)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
