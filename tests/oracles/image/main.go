// What containerd makes of an image's documents and of its user: one question an argument.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"slimgate.dev/tests/oracles/ask"
)

func main() {
	answers := map[string]func([]byte) any{
		"manifest": manifest,
		"config":   config,
		"user":     userOn(os.Args[2:]),
		"platform": platform,
	}
	ask.Serve(answers[os.Args[1]])
}

// A config is read as client.Image.Spec and the CRI server's image store read it.
func config(document []byte) any {
	var image ocispec.Image
	if err := json.Unmarshal(document, &image); err != nil {
		return ask.Failed(err)
	}
	history := []map[string]any{}
	for _, step := range image.History {
		history = append(history, map[string]any{
			"created_by": step.CreatedBy, "empty_layer": step.EmptyLayer,
		})
	}
	return map[string]any{
		"platform":   platforms.Normalize(image.Platform),
		"diff_ids":   image.RootFS.DiffIDs,
		"user":       image.Config.User,
		"entrypoint": image.Config.Entrypoint,
		"cmd":        image.Config.Cmd,
		"env":        image.Config.Env,
		"workingDir": image.Config.WorkingDir,
		"labels":     image.Config.Labels,
		"created":    microseconds(image.Created),
		"history":    history,
	}
}

// What Python's datetime can hold of a date.
func microseconds(date *time.Time) any {
	if date == nil {
		return nil
	}
	return fmt.Sprint(date.Truncate(time.Microsecond).UnixMicro())
}

type platformQuestion struct {
	Platform ocispec.Platform   `json:"platform"`
	Nodes    []ocispec.Platform `json:"nodes"`
}

// A platform normalised, and whether each of the nodes would run an image of it.
func platform(question []byte) any {
	var asked platformQuestion
	if err := json.Unmarshal(question, &asked); err != nil {
		return ask.Failed(err)
	}
	runs := []bool{}
	for _, node := range asked.Nodes {
		runs = append(runs, platforms.Only(node).Match(asked.Platform))
	}
	return map[string]any{"normalised": platforms.Normalize(asked.Platform), "runs": runs}
}
