package lineage_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// childEnv makes the test binary a program of its own, which works in the directory it names.
const childEnv = "LINEAGE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch role, dir, _ := strings.Cut(os.Getenv(childEnv), ":"); role {
	case "":
		os.Exit(m.Run())
	case "write":
		exit(writeUntilKilled(dir))
	case "lock":
		exit(lockUntilKilled(dir))
	}
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// writeUntilKilled prints the head after each append that returned.
func writeUntilKilled(dir string) error {
	lock, err := lineage.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	author, store, err := lineagetest.New(dir, 1)
	if err != nil {
		return err
	}
	live := lineagetest.Live(store)
	acknowledge := func(f research.Fact, blobs ...lineage.Blob) error {
		if err := live(f, blobs...); err != nil {
			return err
		}
		head, err := store.Head()
		fmt.Println(head)
		return err
	}
	if err := author.Baseline(acknowledge); err != nil {
		return err
	}
	for {
		if err := author.Trial(acknowledge); err != nil {
			return err
		}
	}
}

func lockUntilKilled(dir string) error {
	if _, err := lineage.Lock(dir); err != nil {
		return err
	}
	fmt.Println("locked")
	time.Sleep(time.Minute)
	return errors.New("nobody killed this process")
}

// child starts the test binary in a role; its output arrives line by line.
func child(t *testing.T, role, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(must(os.Executable())(t))
	cmd.Env = append(os.Environ(), childEnv+"="+role+":"+dir)
	cmd.Stderr = os.Stderr
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// TestKilledWriterLosesNothingAcknowledged kills a writing process at random moments.
func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		dir := t.TempDir()
		cmd, lines := child(t, "write", dir)
		var last string
		for n := 5 + rng.IntN(60); n > 0 && lines.Scan(); n-- {
			last = lines.Text()
		}
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			last = lines.Text()
		}
		_ = cmd.Wait()
		head := must(lineage.ParseHead(last))(t)

		// A reader sees it all before anybody has opened the file for writing again.
		r := openReader(t, dir)
		if got := must(r.Head())(t); got.Seq < head.Seq {
			t.Errorf("round %d: acknowledged up to %d, a reader finds %d", round, head.Seq, got.Seq)
		}
		r.Close()
		lock, err := lineage.Lock(dir)
		if err != nil {
			t.Fatalf("round %d: the lock outlived its holder: %v", round, err)
		}
		store := must(lineage.Open(dir))(t)
		next := must(store.NextTrial())(t)
		for id := range next {
			if got := must(store.Trial(id))(t).ID; got != id {
				t.Errorf("round %d: trial %s where %s should be", round, got, id)
			}
		}
		if _, err := store.Append(ctx, research.Supervised{PID: 1, Resumed: true}); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		wantIntact(t, dir, lineage.Options{Head: head})
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadersWhileWriting: readers see whole facts only, and neither side makes the other fail.
func TestReadersWhileWriting(t *testing.T) {
	dir := t.TempDir()
	author, store := openRun(t, dir, 5)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		r := openReader(t, dir)
		readers.Go(func() {
			for last := (lineage.Head{}); ; {
				select {
				case <-done:
					return
				default:
				}
				err := r.Snapshot(func(r *lineage.Reader) error {
					head, err := r.Head()
					if err != nil {
						return err
					}
					if head.Seq < last.Seq {
						t.Errorf("the head went back from %d to %d", last.Seq, head.Seq)
					}
					last = head
					incumbent, _, err := r.Incumbent()
					if err != nil {
						return err
					}
					board, err := r.Leaderboard(3)
					if err != nil {
						return err
					}
					if board[0].ID != incumbent.ID {
						t.Errorf("the incumbent is %s, the leaderboard's first %s", incumbent.ID, board[0].ID)
					}
					_, err = r.Recent(5)
					return err
				})
				if err != nil {
					t.Errorf("reader: %v", err)
					return
				}
			}
		})
	}
	write := lineagetest.Live(store)
	for range 15 {
		if err := author.Trial(write); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}

func TestCopyOfALiveRun(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	author, store := openRun(t, dir, 20)
	before := must(store.Head())(t)
	done := make(chan error, 1)
	go func() {
		write := lineagetest.Live(store)
		for range 30 {
			if err := author.Trial(write); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range 5 {
		dst := filepath.Join(out, fmt.Sprintf("copy-%d.db", i))
		if err := lineage.Copy(dir, dst); err != nil {
			t.Fatal(err)
		}
		report := wantIntact(t, dst, lineage.Options{Head: before})
		// What the copy ends with is in the run too.
		wantIntact(t, dir, lineage.Options{Head: report.Head})
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(out, "copy-0.db")
	content := must(os.ReadFile(first))(t)
	if err := lineage.Copy(dir, first); !errors.Is(err, fs.ErrExist) || research.Hint(err) == "" {
		t.Errorf("copying over a file: %v", err)
	}
	if got := must(os.ReadFile(first))(t); string(got) != string(content) {
		t.Error("the refused copy changed the file")
	}
	if left := must(os.ReadDir(out))(t); len(left) != 5 {
		t.Errorf("copies left something behind: %v", left)
	}
	if err := lineage.Copy(dir, filepath.Join(out, "no", "such", "directory")); err == nil {
		t.Error("copied to a directory that does not exist")
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	dir := t.TempDir()
	if _, held, err := lineage.CurrentHolder(dir); held || err != nil {
		t.Errorf("a fresh directory is held: %v, %v", held, err)
	}
	cmd, lines := child(t, "lock", dir)
	if !lines.Scan() {
		t.Fatal("the child did not lock")
	}
	_, err := lineage.Lock(dir)
	var held *lineage.HeldError
	host := must(os.Hostname())(t)
	if !errors.As(err, &held) || held.Holder.PID != cmd.Process.Pid || held.Holder.Host != host || held.Holder.Since.IsZero() {
		t.Fatalf("second lock: %v", err)
	}
	if want := fmt.Sprintf("process %d on %s", cmd.Process.Pid, host); !strings.Contains(err.Error(), want) || research.Hint(err) == "" {
		t.Errorf("error %q (hint %q), want %q", err, research.Hint(err), want)
	}
	if holder, ok, err := lineage.CurrentHolder(dir); err != nil || !ok || holder.PID != cmd.Process.Pid {
		t.Errorf("holder %+v, %v, %v", holder, ok, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	lock := must(lineage.Lock(dir))(t)
	if _, err := lineage.Lock(dir); !errors.As(err, &held) || held.Holder.PID != os.Getpid() {
		t.Errorf("locked twice by one process: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	again := must(lineage.Lock(dir))(t)
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestUnwritableDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere: run as another user to see this refused")
	}
	dir := writeRun(t, 1)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if _, err := lineage.Lock(dir); !errors.Is(err, fs.ErrPermission) || research.Hint(err) == "" {
		t.Errorf("lock: %v", err)
	}
	if _, err := lineage.Open(dir); !errors.Is(err, fs.ErrPermission) || research.Hint(err) == "" {
		t.Errorf("open: %v", err)
	}
	wantIntact(t, dir, lineage.Options{})
}

// TestWriteAheadFileWithoutCompanion: a file whose writer left it in write-ahead mode can be read
// where nothing may be written beside it.
func TestWriteAheadFileWithoutCompanion(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere: run as another user to see this")
	}
	path := filepath.Join(writeRun(t, 3), lineage.FileName)
	db := openRaw(t, path)
	if _, err := db.Exec("PRAGMA journal_mode = WAL"); err != nil {
		t.Fatal(err)
	}
	frozen := copyFile(t, path)
	if err := os.Chmod(filepath.Dir(frozen), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(frozen), 0o700) })
	if n := must(openReader(t, frozen).Count())(t); n != 4 {
		t.Errorf("%d trials, want 4", n)
	}
}
