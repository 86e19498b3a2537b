package main

import (
	"bytes"
	"context"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"slimgate.dev/tests/oracles/ask"
)

// A content store that holds one document.
type document []byte

func (d document) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return readerAt{bytes.NewReader(d)}, nil
}

type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }

var _ io.ReaderAt = readerAt{}

type described struct {
	MediaType   string            `json:"mediaType"`
	Digest      digest.Digest     `json:"digest"`
	Invalid     bool              `json:"invalid"`
	Size        int64             `json:"size"`
	Platform    *ocispec.Platform `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

// The descriptors in a manifest (config, then layers) or an index, as containerd walks them when
// it pulls. A question is the media type, a line feed, the document.
func manifest(question []byte) any {
	mediaType, body, found := bytes.Cut(question, []byte("\n"))
	if !found {
		return ask.Failed(fmt.Errorf("no line feed"))
	}
	asked := ocispec.Descriptor{
		MediaType: string(mediaType), Digest: digest.FromBytes(body), Size: int64(len(body)),
	}
	children, err := images.Children(context.Background(), document(body), asked)
	if err != nil {
		return ask.Failed(err)
	}
	result := []described{}
	for _, child := range children {
		one := described{
			MediaType: child.MediaType, Digest: child.Digest, Size: child.Size,
			Invalid: child.Digest.Validate() != nil, Annotations: child.Annotations,
		}
		if child.Platform != nil {
			normal := platforms.Normalize(*child.Platform)
			one.Platform = &normal
		}
		result = append(result, one)
	}
	return map[string]any{"children": result}
}
