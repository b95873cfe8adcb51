// An OCI runtime that stands in front of runc on hosts that lack capabilities.
//
// `docker run --privileged` and `docker exec --privileged` ask for every capability the kernel knows; runc refuses
// the whole request when the host's bounding set lacks one of them. This program removes the capabilities that are
// missing from its own bounding set from the request and then becomes runc. It runs on every create and exec, so it
// uses the standard library only and rewrites a file only when something has to go.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Debian's place for runc comes after PATH: a root shell without /usr/sbin on its PATH is common in containers.
var runtimePaths = []string{"/usr/local/sbin/runc", "/usr/sbin/runc", "/usr/bin/runc"}

// Capability names by bit number, from include/uapi/linux/capability.h (Linux 5.9 and later: 41 capabilities).
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// Flags of runc that stand before the verb and take a value (runc 1.1, `runc --help`).
var globalFlagsWithValue = map[string]bool{
	"--log": true, "--log-format": true, "--root": true, "--criu": true, "--rootless": true,
}

func main() {
	if err := adapt(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "seatrial-oci-runtime:", err)
		os.Exit(1)
	}
	runtime, err := findRuntime()
	if err == nil {
		err = syscall.Exec(runtime, append([]string{runtime}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintf(os.Stderr, "seatrial-oci-runtime: cannot start %s: %v\n", runtime, err)
	os.Exit(1)
}

// findRuntime returns the runc that stands on PATH, else in one of the usual places.
func findRuntime() (string, error) {
	if found, err := exec.LookPath("runc"); err == nil {
		return found, nil
	}
	for _, path := range runtimePaths {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "runc", fmt.Errorf("it is neither on PATH nor at %s", strings.Join(runtimePaths, ", "))
}

// adapt rewrites the file that carries the requested capabilities, if the command has one.
func adapt(args []string) error {
	path, process := requestFile(args)
	if path == "" {
		return nil
	}
	missing, err := missingCapabilities()
	if err != nil || len(missing) == 0 {
		return err
	}
	return strip(path, process, missing)
}

// requestFile returns the file that carries the capabilities the command asks for, "" when it carries none, and
// whether that file is a process (exec --process) rather than a bundle's config.json (create, run, restore).
func requestFile(args []string) (path string, process bool) {
	verb, rest := splitVerb(args)
	switch verb {
	case "exec":
		return flagValue(rest, "-p", "--process"), true
	case "create", "run", "restore":
		// Without the flag the bundle is the working directory.
		return filepath.Join(flagValue(rest, "-b", "--bundle"), "config.json"), false
	}
	return "", false
}

func splitVerb(args []string) (verb string, rest []string) {
	for i := 0; i < len(args); i++ {
		if globalFlagsWithValue[args[i]] {
			i++
			continue
		}
		if !strings.HasPrefix(args[i], "-") {
			return args[i], args[i+1:]
		}
	}
	return "", nil
}

func flagValue(args []string, short, long string) string {
	for i, arg := range args {
		if (arg == short || arg == long) && i+1 < len(args) {
			return args[i+1]
		}
		for _, name := range []string{short, long} {
			if value, found := strings.CutPrefix(arg, name+"="); found {
				return value
			}
		}
	}
	return ""
}

func missingCapabilities() (map[string]bool, error) {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		value, found := strings.CutPrefix(lines.Text(), "CapBnd:")
		if !found {
			continue
		}
		bounding, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return nil, err
		}
		missing := map[string]bool{}
		for bit, name := range capabilityNames {
			if bounding&(1<<uint(bit)) == 0 {
				missing[name] = true
			}
		}
		return missing, nil
	}
	return nil, fmt.Errorf("no CapBnd line in /proc/self/status")
}

// strip decodes the capability lists only: every other field keeps its value, whatever runc adds to its format.
func strip(path string, process bool, missing map[string]bool) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	document := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &document); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	holder := document
	if !process {
		holder = map[string]json.RawMessage{}
		if document["process"] == nil {
			return nil
		}
		if err := json.Unmarshal(document["process"], &holder); err != nil {
			return fmt.Errorf("%s: process: %w", path, err)
		}
	}
	if holder["capabilities"] == nil {
		return nil
	}
	sets := map[string][]string{}
	if err := json.Unmarshal(holder["capabilities"], &sets); err != nil {
		return fmt.Errorf("%s: capabilities: %w", path, err)
	}
	changed := false
	for set, names := range sets {
		kept := names[:0]
		for _, name := range names {
			if missing[name] {
				changed = true
				continue
			}
			kept = append(kept, name)
		}
		sets[set] = kept
	}
	if !changed {
		return nil
	}
	if holder["capabilities"], err = json.Marshal(sets); err != nil {
		return err
	}
	if !process {
		if document["process"], err = json.Marshal(holder); err != nil {
			return err
		}
	}
	adapted, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return overwrite(path, adapted)
}

// overwrite replaces a file's content in place. Emptying it first, as os.WriteFile does, makes ext4 start writing it to
// disk on close (mount option auto_da_alloc): tens of milliseconds on a busy machine, for a file that lives for one exec.
func overwrite(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Truncate(int64(len(content)))
}
