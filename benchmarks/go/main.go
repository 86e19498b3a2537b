// Reads a layer as slimgate does the least of: both digests, and every tar header.
//
//	reader std|klauspost FILE
//
// It prints the wall seconds and the CPU seconds that took, and how many entries there were.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const chunk = 256 << 10

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

func decompressor(library string, compressed *bufio.Reader) (io.Reader, error) {
	magic, err := compressed.Peek(4)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.Equal(magic, zstdMagic): // the standard library has none
		return zstd.NewReader(compressed, zstd.WithDecoderConcurrency(1))
	case library == "std":
		return stdgzip.NewReader(compressed)
	default:
		return gzip.NewReader(compressed)
	}
}

func read(library, path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	stored, plain := sha256.New(), sha256.New()
	compressed := bufio.NewReaderSize(io.TeeReader(file, stored), chunk)
	uncompressed, err := decompressor(library, compressed)
	if err != nil {
		return 0, err
	}
	archive := io.TeeReader(uncompressed, plain)
	entries, reader := 0, tar.NewReader(archive)
	for {
		_, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		entries++
	}
	for _, rest := range []io.Reader{archive, compressed} {
		if _, err := io.Copy(io.Discard, rest); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(io.Discard, "%x %x", stored.Sum(nil), plain.Sum(nil))
	return entries, nil
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func main() {
	started := time.Now()
	entries, err := read(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(time.Since(started).Seconds(), cpu(), entries)
}
