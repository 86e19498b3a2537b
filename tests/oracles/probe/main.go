// The probe is started in a container and says what is true there.
//
//	probe look           who it runs as; then every file that could be started: is it a shell?
//	probe answer WORD    for the scripts of "look": the word, and which file's process asked
//
// A file is a shell if it reads a script, as `FILE -c SCRIPT` or from standard input: if it runs
// `probe answer` with a word that is not in it, but stands for a variable's value or for the files
// that a pattern matches.
// To run what it is told is not enough (env, nice, timeout do). And the process that asks has to
// be the file's own: su, script and `#!` lines hand over to a shell, and that one is told of.
//
// It is process 1, and setuid root, since anybody's shell counts: everything but itself is killed
// after each try. PATH has nothing but its own folder, which is mounted into the container.
package main

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	patience = 2 * time.Second // for one try
	most     = 2               // tries that may run out of it; then the file is not known
	enough   = 1 << 16         // bytes of output
)

// Hidden in every container, whatever the image has there.
var mounted = map[string]bool{"/proc": true, "/sys": true, "/dev": true, "/run": true}

var loader = regexp.MustCompile(`^ld(64)?[.-].*so(\.[0-9]+)*$`)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "look":
		write(who())
		check(becomeRoot())
		shells()
	case len(os.Args) == 3 && os.Args[1] == "answer":
		answer(os.Args[2])
	default:
		check(fmt.Errorf("look or answer WORD, not %q", os.Args[1:]))
	}
}

func who() any {
	return map[string]any{"uid": os.Getuid(), "gid": os.Getgid()}
}

func becomeRoot() error {
	if err := syscall.Setresuid(0, 0, 0); err != nil {
		return fmt.Errorf("the probe has to be setuid root (nosuid?): %w", err)
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setresgid(0, 0, 0))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(what any) {
	line, err := json.Marshal(what)
	check(err)
	os.Stdout.Write(append(line, '\n'))
}

func answer(word string) {
	asking := fmt.Sprintf("/proc/%d/exe", os.Getppid())
	file, err := os.Stat(asking)
	check(err)
	fmt.Printf("\nANSWER %s %s\n", word, identity(file))
}

// Two names of one file have one identity.
func identity(file fs.FileInfo) string {
	stat := file.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// Told of each name, in hexadecimal: it need not be UTF-8.
type told struct {
	Path string `json:"path"`
	File string `json:"file"`
	// How it became a shell: by its own name, by another, or by a loader. Empty if it did not.
	How string `json:"how"`
	// The file whose process asked.
	Shell string `json:"shell"`
	// It took its time, and what it is was not found out.
	Unknown bool `json:"unknown"`
}

type candidate struct {
	path       string
	file       string
	executable bool
}

func shells() {
	home, err := filepath.Abs(filepath.Dir(os.Args[0]))
	check(err)
	found, loaders := candidates(home)
	tried := map[string]told{} // what other names than its own make of a file
	prober := newProber(home)
	for _, one := range found {
		said := prober.asked(one, loaders, tried)
		said.Path, said.File = hex.EncodeToString([]byte(one.path)), one.file
		write(said)
	}
}

func candidates(home string) (found []candidate, loaders []string) {
	known := map[string]bool{}
	err := filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == home || mounted[path] {
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		file, err := os.Stat(path)
		if err != nil || !file.Mode().IsRegular() {
			return nil
		}
		executable := file.Mode().Perm()&0o111 != 0
		if executable && loader.MatchString(filepath.Base(path)) && !known[identity(file)] {
			loaders, known[identity(file)] = append(loaders, path), true
		}
		if executable || isELF(path) {
			found = append(found, candidate{path, identity(file), executable})
		}
		return nil
	})
	check(err)
	return found, loaders
}

func isELF(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	magic := make([]byte, len(elf.ELFMAG))
	_, err = io.ReadFull(file, magic)
	return err == nil && string(magic) == elf.ELFMAG
}

// What a file is told to do, and the beginning of the line that shows that it understood.
type script struct {
	text, line string
}

type prober struct {
	scripts []script
	env     []string
}

func newProber(home string) *prober {
	value := fmt.Sprintf("v%d", time.Now().UnixNano())
	words, err := filepath.Glob(home + "/word-*") // one file, with another name in every run
	check(err)
	if len(words) != 1 {
		check(fmt.Errorf("%s has no word", home))
	}
	asked := "ANSWER x" + value + " "
	return &prober{
		// Each has two commands: a shell may replace itself with the last one. Bourne's, C's,
		// fish's and rc's shells read the first.
		scripts: []script{
			{"probe answer x$SLIMGATE_WORD; probe answer x$SLIMGATE_WORD", asked},
			// sash has no variables without sh, but patterns, and commands of its own.
			{"-echo " + home + "/w*", words[0]},
			{"probe answer x$E:SLIMGATE_WORD; nop", asked},                      // Elvish
			{"^probe answer $'x($env.SLIMGATE_WORD)'; ^probe answer x", asked},  // Nushell
			{"probe answer \"x$($env:SLIMGATE_WORD)\"; probe answer x", asked},  // PowerShell
			{"probe answer @('x' + ${'SLIMGATE_WORD'}); probe answer x", asked}, // xonsh
		},
		env: []string{"PATH=" + home, "SLIMGATE_WORD=" + value, "HOME=/", "TERM=dumb"},
	}
}

// One way to start a file: the words before the script, or all where it comes on standard input.
type way struct {
	how   string
	start string
	argv  []string
	only  int // so many of the scripts
	stdin bool
}

func (p *prober) asked(one candidate, loaders []string, tried map[string]told) told {
	if !one.executable {
		said := p.first(one.file, p.loaded(one, loaders))
		if said.How != "" {
			said.Shell = one.file // to the kernel, the loader's process
		}
		return said
	}
	all := len(p.scripts)
	own := p.first(one.file, []way{
		{"own", one.path, []string{one.path, "-c"}, all, false},
		{"own", one.path, []string{one.path, "sh", "-c"}, 1, false}, // busybox sh
		{"own", one.path, []string{one.path}, 1, true},
	})
	if own.How != "" || own.Unknown {
		return own
	}
	// Who starts a program chooses what it is called, and some are a shell then.
	other, known := tried[one.file]
	if !known {
		other = p.first(one.file, []way{
			{"named", one.path, []string{"sh", "-c"}, 1, false},
			{"named", one.path, []string{"busybox", "sh", "-c"}, 1, false},
		})
		tried[one.file] = other
	}
	return other
}

func (p *prober) loaded(one candidate, loaders []string) (ways []way) {
	for _, loader := range loaders {
		ways = append(ways,
			way{"loader", loader, []string{loader, one.path, "-c"}, len(p.scripts), false},
			way{"loader", loader, []string{loader, "--argv0", "sh", one.path, "-c"}, 1, false},
			way{"loader", loader, []string{loader, one.path, "sh", "-c"}, 1, false},
			way{"loader", loader, []string{loader, "--argv0", "busybox", one.path, "sh", "-c"}, 1, false},
			way{"loader", loader, []string{loader, one.path}, 1, true},
		)
	}
	return ways
}

func (p *prober) first(file string, ways []way) told {
	times := 0
	for _, one := range ways {
		for _, script := range p.scripts[:one.only] {
			argv, input := one.argv, script.text+"\n"
			if !one.stdin {
				argv, input = append(argv[:len(argv):len(argv)], script.text), ""
			}
			output, end, err := p.run(one.start, argv, input)
			if err != nil {
				break // it cannot be started, whatever the script
			}
			if rest, understood := after(output, script.line); understood {
				return told{How: one.how, Shell: cmp.Or(rest, file)}
			}
			if end == crashed {
				break // as shared libraries do: they have nothing to start
			}
			if end == late {
				if times++; times == most {
					return told{Unknown: true}
				}
			}
		}
	}
	return told{Unknown: times > 0}
}

// The rest of the line that begins so: which file's process asked, or nothing.
func after(output []byte, start string) (rest string, found bool) {
	_, rest, found = strings.Cut("\n"+string(output), "\n"+start)
	rest, _, _ = strings.Cut(rest, "\n")
	return rest, found
}

// Start a program, and end it with all that it started.
func (p *prober) run(path string, argv []string, input string) (output []byte, how end, err error) {
	given, giving, err := os.Pipe()
	check(err)
	_, err = giving.WriteString(input) // far less than a pipe holds
	check(errors.Join(err, giving.Close()))
	defer given.Close()
	read, write, err := os.Pipe()
	check(err)
	out := write.Fd()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   p.env,
		Files: []uintptr{given.Fd(), out, out},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	write.Close()
	if err != nil {
		read.Close()
		return nil, ended, err
	}
	collected := make(chan []byte)
	go func() {
		var kept bytes.Buffer
		io.Copy(&kept, io.LimitReader(read, enough))
		io.Copy(io.Discard, read)
		collected <- kept.Bytes()
	}()
	exited := make(chan end, 1)
	go func() {
		status, _ := wait(pid)
		if status.Signaled() {
			exited <- crashed
		} else {
			exited <- ended
		}
		close(exited)
	}()
	how = settled(pid, exited)
	syscall.Kill(-1, syscall.SIGKILL)
	for range exited {
	}
	for err = nil; err == nil; {
		_, err = wait(-1)
	}
	output = <-collected
	read.Close()
	return output, how, nil
}

// How a program comes to its end.
type end int

const (
	ended end = iota
	crashed
	late
)

// One that pauses has ended: it waits for a signal that nobody here would send. So do the programs
// of forged images.
func settled(pid int, exited <-chan end) end {
	over, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for {
		select {
		case how := <-exited:
			return how
		case <-over:
			return late
		case <-look.C:
			call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
			if strings.HasPrefix(string(call), fmt.Sprintf("%d ", syscall.SYS_PAUSE)) {
				return ended
			}
		}
	}
}

func wait(pid int) (status syscall.WaitStatus, err error) {
	for {
		_, err = syscall.Wait4(pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}
