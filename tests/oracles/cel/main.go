// CEL as Kubernetes has it in ValidatingAdmissionPolicies and CustomResourceDefinitions.
package main

import (
	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"

	"slimgate.dev/tests/oracles/ask"
)

type question struct {
	Expression string         `json:"expression"`
	Variables  map[string]any `json:"variables"`
}

func main() {
	variables := make([]cel.EnvOption, 0)
	for _, name := range []string{"image", "container", "pod", "namespaceObject"} {
		variables = append(variables, cel.Variable(name, cel.DynType))
	}
	set, err := environment.MustBaseEnvSet(version.MajorMinor(1, 37)).Extend(
		environment.VersionedOptions{
			IntroducedVersion: version.MajorMinor(1, 0), EnvOptions: variables,
		})
	if err != nil {
		panic(err)
	}
	env := set.StoredExpressionsEnv()
	ask.Serve(func(asked []byte) any { return answer(env, asked) })
}

// The value; or the error, and whether the expression was refused before it was evaluated.
// Numbers of the documents are int64 or float64, as in every object that Kubernetes decodes.
func answer(env *cel.Env, asked []byte) any {
	var read question
	if err := json.Unmarshal(asked, &read); err != nil {
		return ask.Failed(err)
	}
	checked, issues := env.Compile(read.Expression)
	if issues.Err() != nil {
		return map[string]any{"refused": issues.Err().Error()}
	}
	program, err := env.Program(checked)
	if err != nil {
		return map[string]any{"refused": err.Error()}
	}
	value, _, err := program.Eval(read.Variables)
	if err != nil {
		return ask.Failed(err)
	}
	if truth, is := value.Value().(bool); is {
		return map[string]any{"value": truth}
	}
	return map[string]any{"error": "yields " + value.Type().TypeName()}
}
