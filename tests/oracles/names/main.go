// Words of Kubernetes and of container registries, read by their own parsers: one an argument.
package main

import (
	_ "crypto/sha512"
	"encoding/json"
	"os"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"slimgate.dev/tests/oracles/ask"
)

func main() {
	answers := map[string]func([]byte) any{
		"reference": name, "quantity": quantity, "selector": selector,
	}
	ask.Serve(answers[os.Args[1]])
}

// An image's name as the kubelet and containerd read it. ParseDockerRef drops the tag where there
// is a digest, too; that is asked for on its own.
func name(text []byte) any {
	parsed, err := reference.ParseDockerRef(string(text))
	if err != nil {
		return ask.Failed(err)
	}
	named, err := reference.ParseNormalizedNamed(string(text))
	if err != nil {
		return ask.Failed(err)
	}
	result := map[string]any{
		"registry": reference.Domain(parsed), "repository": reference.Path(parsed),
	}
	if tagged, is := reference.TagNameOnly(named).(reference.Tagged); is {
		result["tag"] = tagged.Tag()
	}
	if digested, is := parsed.(reference.Digested); is {
		result["digest"] = digested.Digest()
	}
	return result
}

func quantity(text []byte) any {
	parsed, err := resource.ParseQuantity(string(text))
	if err != nil {
		return ask.Failed(err)
	}
	return map[string]any{"value": parsed.Value(), "sign": parsed.Sign()}
}

type selectorQuestion struct {
	Selector metav1.LabelSelector `json:"selector"`
	Labels   labels.Set           `json:"labels"`
}

func selector(question []byte) any {
	var asked selectorQuestion
	if err := json.Unmarshal(question, &asked); err != nil {
		return ask.Failed(err)
	}
	read, err := metav1.LabelSelectorAsSelector(&asked.Selector)
	if err != nil {
		return ask.Failed(err)
	}
	return map[string]any{"matches": read.Matches(asked.Labels)}
}
