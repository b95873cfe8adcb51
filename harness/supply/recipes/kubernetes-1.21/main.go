// A multi-call binary: the Kubernetes programs of a node, chosen by the name the binary is called by.
//
// Kubernetes 1.21 has no component-base/cli: each program's own main does by hand what cli.Run does later.
package main

//go:generate go run -C openapi -mod=readonly . ..

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as upstream's own mains register them
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// serve runs a component or kubectl: flags spelled with underscores are taken too, logs are set up and flushed.
func serve(command func() *cobra.Command) func() int {
	return func() int {
		root := command()
		pflag.CommandLine.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
		pflag.CommandLine.AddGoFlagSet(flag.CommandLine)
		logs.InitLogs()
		defer logs.FlushLogs()
		if err := root.Execute(); err != nil {
			return 1
		}
		return 0
	}
}

var programs = map[string]func() int{
	"kube-apiserver":          serve(apiserver.NewAPIServerCommand),
	"kube-controller-manager": serve(controllermanager.NewControllerManagerCommand),
	"kube-scheduler":          serve(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kube-proxy":              serve(proxy.NewProxyCommand),
	"kubelet":                 serve(kubelet.NewKubeletCommand),
	"kubeadm":                 runKubeadm,
	"kubectl":                 serve(kubectl.NewDefaultKubectlCommand),
}

func main() {
	name := filepath.Base(os.Args[0])
	run, known := programs[name]
	if !known {
		names := make([]string, 0, len(programs))
		for program := range programs {
			names = append(names, program)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "%s: call this binary by one of these names: %s\n", name, strings.Join(names, ", "))
		os.Exit(2)
	}
	rand.Seed(time.Now().UnixNano())
	os.Exit(run())
}

// runKubeadm gives kubeadm flags of its own to register klog's with: the packages of the other programs in this binary
// have registered them already, which a second registration does not survive.
func runKubeadm() int {
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	if err := kubeadm.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
