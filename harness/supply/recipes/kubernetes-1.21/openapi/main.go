// Generates the OpenAPI definitions that Kubernetes serves and validates by: its releases have the file in their source
// tree, its module does not. The argument is the folder of a module whose dependencies are vendored: the file is added
// there.
package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"k8s.io/gengo/v2"
	"k8s.io/gengo/v2/generator"
	"k8s.io/kube-openapi/cmd/openapi-gen/args"
	"k8s.io/kube-openapi/pkg/generators"
)

const (
	vendored = "vendor/"
	output   = "k8s.io/kubernetes/pkg/generated/openapi"
	file     = "zz_generated.openapi.go"
	marker   = "+k8s:openapi-gen=true"
	// Where this generator's release has the types of a specification, and where Kubernetes 1.21 has them.
	specNow  = `"k8s.io/kube-openapi/pkg/validation/spec"`
	specThen = `"github.com/go-openapi/spec"`
)

// Served by another program, and upstream leaves it out as well.
var leftOut = []string{"k8s.io/metrics/"}

func main() {
	if err := os.Chdir(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	packages, err := marked(vendored + "k8s.io")
	if err != nil {
		log.Fatalf("look for packages marked %s: %v", marker, err)
	}
	options := args.New()
	options.OutputDir, options.OutputPkg, options.OutputFile = vendored+output, output, file
	options.ReportFilename = os.DevNull // violations of naming rules, known upstream
	targets := func(context *generator.Context) []generator.Target { return generators.GetTargets(context, options) }
	err = gengo.Execute(generators.NameSystems(), generators.DefaultNameSystem(), targets, gengo.StdBuildTag, packages)
	if err != nil {
		log.Fatalf("generate for %d packages: %v", len(packages), err)
	}
	if err := respell(vendored+output+"/"+file, specNow, specThen); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("generated %s/%s from %d packages\n", output, file, len(packages))
}

// marked returns the import paths of the vendored packages of which a file carries the marker, sorted.
func marked(root string) ([]string, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(marker)) {
			found[strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), vendored)] = true
		}
		return err
	})
	packages := make([]string, 0, len(found))
	for name := range found {
		if !startsWithAny(name+"/", leftOut) {
			packages = append(packages, name)
		}
	}
	sort.Strings(packages)
	return packages, err
}

func startsWithAny(text string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// respell replaces the one occurrence of `from` in a file.
func respell(path, from, to string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if count := bytes.Count(content, []byte(from)); count != 1 {
		return fmt.Errorf("%s imports %s %d times, not once", path, from, count)
	}
	return os.WriteFile(path, bytes.Replace(content, []byte(from), []byte(to), 1), 0o644)
}
