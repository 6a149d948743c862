package lineage_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// writeVariedRun makes a closed run that has a row of every kind: kept, stopped, lost and pending
// trials, open and closed sessions, superseded attempts, model calls answered and not.
func writeVariedRun(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	author, store := openRun(t, dir, 2)
	write := lineagetest.Live(store)
	for _, ending := range []string{"capped", "misbehaved"} {
		writeFruitless(t, author, write, ending)
	}
	opened, prompt := author.Opened()
	submitted, blobs, err := author.Submitted()
	if err != nil {
		t.Fatal(err)
	}
	first, second := author.Attempt(submitted.Trial, 0, 1), author.Attempt(submitted.Trial, 0, 2)
	for _, err := range []error{
		write(opened, prompt), author.Call(write, 1), write(author.Asked(2)), write(submitted, blobs...),
		write(research.Dispatched{Attempt: first, Executor: "local", Bundle: "b"}),
		write(research.Dispatched{Attempt: second, Executor: "local", Bundle: "b"}),
		write(research.AttemptLost{Attempt: second, Reason: "gone", Wall: 1}),
		write(research.BudgetChanged{Budgets: research.Budgets{Trials: 5}, By: "resume"}), write(research.Stopped{Reason: "done"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, lineage.FileName)
}

// writeFruitless writes a session that asks a model and submits nothing.
func writeFruitless(t *testing.T, author *lineagetest.Author, write lineagetest.Write, ending string) {
	t.Helper()
	opened, prompt := author.Opened()
	said := author.Transcript()
	failed := author.Answered(1)
	failed.Priced, failed.Estimated, failed.Error = false, true, "the stream was cut"
	for _, err := range []error{
		write(opened, prompt), write(author.Asked(1)), write(failed),
		write(research.SessionClosed{Session: opened.Session, Ending: ending, Error: "it is over", Transcript: said.Hash}, said),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryStoredValueIsHeld changes each value of each row of each table, one at a time.
func TestEveryStoredValueIsHeld(t *testing.T) {
	remeasured := []string{"confirmations", "certifications", "recertifications"}
	t.Run("varied", func(t *testing.T) {
		everyStoredValueIsHeld(t, writeVariedRun(t), func(table string) bool { return !slices.Contains(remeasured, table) })
	})
	t.Run("remeasured", func(t *testing.T) {
		everyStoredValueIsHeld(t, writeConfirmedRun(t), func(table string) bool { return table == "events" || slices.Contains(remeasured, table) })
	})
}

func everyStoredValueIsHeld(t *testing.T, path string, concerned func(table string) bool) {
	t.Helper()
	head := wantIntact(t, path, lineage.Options{}).Head
	db := openRaw(t, path)
	if _, err := db.Exec("PRAGMA synchronous = OFF"); err != nil { // a tamperer need not be durable
		t.Fatal(err)
	}
	changed := 0
	for _, table := range tables(t, db) {
		if !concerned(table) {
			continue
		}
		for _, rowid := range rowsOf(t, db, table) {
			for column, old := range rowid.values {
				changed++
				if testing.Short() && changed%12 != 0 { // as under the race detector, which is slow here and has little to find
					continue
				}
				where := fmt.Sprintf("%s %s, column %s", table, rowid.where, column)
				if _, err := db.Exec(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s", table, column, rowid.where), other(old)); err != nil {
					continue // SQLite itself refuses: a second row of the same key, NULL or another type
				}
				report, err := lineage.Verify(path, lineage.Options{Head: head})
				if err != nil || report.Err() == nil {
					t.Fatalf("%s: changed from %v without a finding (%v)", where, old, err)
				}
				if !namesPlace(report, table, rowid, column, old) {
					t.Errorf("%s: the findings name another place: %v", where, report.Findings)
				}
				restore(t, db, table, rowid, column, old)
			}
		}
	}
	t.Logf("%d values changed", changed)
	wantIntact(t, path, lineage.Options{Head: head})
}

// namesPlace says whether some finding points to the row that was changed.
func namesPlace(report lineage.Report, table string, row row, column string, old any) bool {
	text := ""
	for _, f := range report.Findings {
		text += f.String() + "\n"
	}
	switch table {
	case "events":
		return strings.Contains(text, fmt.Sprintf("event %v", row.values["seq"]))
	case "blobs":
		return strings.Contains(text, row.values["hash"].(string)[:12])
	case "state":
		return column == "id" || strings.Contains(text, "state, column "+column)
	}
	return strings.Contains(text, table+" row ")
}

func restore(t *testing.T, db *sql.DB, table string, row row, column string, old any) {
	t.Helper()
	where := row.where
	if strings.Contains(where, column+" = ") {
		where = strings.ReplaceAll(where, column+" = "+literal(old), column+" = "+literal(other(old)))
	}
	result, err := db.Exec(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s", table, column, where), old)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("restored %d rows of %s (%s): %v", n, table, where, err)
	}
}

// other is a value of the same type that differs as little as possible.
func other(v any) any {
	switch v := v.(type) {
	case int64:
		return v + 1_000_003
	case float64:
		return math.Nextafter(v, math.Inf(1))
	case string:
		return v + "x"
	case []byte:
		changed := slices.Clone(v)
		changed[len(changed)/2] ^= 1
		return changed
	}
	return 1
}

func literal(v any) string {
	if s, ok := v.(string); ok {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return fmt.Sprint(v)
}

func tables(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	for _, row := range query(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		names = append(names, row["name"].(string))
	}
	if len(names) != 12 {
		t.Fatalf("tables %v", names)
	}
	return names
}

type row struct {
	where  string
	values map[string]any
}

// rowsOf lists a table's rows with a condition that finds each by its primary key.
func rowsOf(t *testing.T, db *sql.DB, table string) (rows []row) {
	t.Helper()
	var key []string
	for _, c := range query(t, db, "SELECT name FROM pragma_table_info('"+table+"') WHERE pk > 0 ORDER BY pk") {
		key = append(key, c["name"].(string))
	}
	for _, values := range query(t, db, "SELECT * FROM "+table) {
		var parts []string
		for _, k := range key {
			parts = append(parts, k+" = "+literal(values[k]))
		}
		rows = append(rows, row{strings.Join(parts, " AND "), values})
	}
	if len(rows) == 0 {
		t.Fatalf("%s is empty: nothing to change", table)
	}
	return rows
}

func query(t *testing.T, db *sql.DB, q string) (all []map[string]any) {
	t.Helper()
	rows, err := db.Query(q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns := must(rows.Columns())(t)
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		named := map[string]any{}
		for i, c := range columns {
			named[c] = values[i]
		}
		all = append(all, named)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRowsAndSchemaAreHeld deletes, inserts and swaps rows, and changes what surrounds them.
func TestRowsAndSchemaAreHeld(t *testing.T) {
	path := writeVariedRun(t)
	head := wantIntact(t, path, lineage.Options{}).Head
	last := head.Seq
	cases := map[string]struct{ statement, want string }{
		"first event deleted":    {"DELETE FROM events WHERE seq = 1", "event 1: it is missing"},
		"middle event deleted":   {"DELETE FROM events WHERE seq = 7", "event 7: it is missing"},
		"last event deleted":     {fmt.Sprintf("DELETE FROM events WHERE seq = %d", last), fmt.Sprintf("event %d: the lineage ends here, before the given head", last-1)},
		"all events deleted":     {"DELETE FROM events", "event 0: the lineage ends here"},
		"event repeated":         {fmt.Sprintf("INSERT INTO events SELECT %d, at, kind, payload, prev, hash FROM events WHERE seq = 7", last+1), fmt.Sprintf("event %d: hash does not follow", last+1)},
		"event before the first": {"INSERT INTO events SELECT -3, at, kind, payload, prev, hash FROM events WHERE seq = 7", "event -3: an event has a number from 1"},
		"events swapped":         {"UPDATE events SET seq = CASE seq WHEN 7 THEN -8 WHEN 8 THEN -7 ELSE seq END; UPDATE events SET seq = -seq WHERE seq < 0", "event 7: hash does not follow from event 6"},
		"stray blob":             {"INSERT INTO blobs VALUES ('00', 0, '', 'raw', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'')", "blob 00: no event names it"},
		"blob deleted":           {"DELETE FROM blobs WHERE base <> ''", "is missing"},
		"trial deleted":          {"DELETE FROM trials WHERE id = 2", "trials row 2: the row is missing"},
		"trial inserted":         {"INSERT INTO trials SELECT 99, parent, role, proposer, session, key, hypothesis, expected, notes, tree, tokens, incumbent, confinement, submitted_at, started_at, ended_at, replicates, status, score, order_score, measured_seq, judged_seq FROM trials WHERE id = 1", "trials row 99: no event made this row"},
		"attempts deleted":       {"DELETE FROM attempts", "attempts row 0/0/1: the row is missing"},
		"session deleted":        {"DELETE FROM sessions WHERE id = 1", "sessions row 1: the row is missing"},
		"tally deleted":          {"DELETE FROM tallies WHERE role = 'baseline'", "tallies row baseline/baseline: the row is missing"},
		"open call deleted":      {"DELETE FROM open_calls", "open_calls row 5/2: the row is missing"},
		"open call inserted":     {"INSERT INTO open_calls VALUES (5, 3, 'm', 1, 0.5)", "open_calls row 5/3: no event made this row"},
		"ledger row deleted":     {"DELETE FROM ledger WHERE role = 'arch'", "ledger row arch/openai:made-up: the row is missing"},
		"charge forgiven":        {"UPDATE ledger SET usd = 0 WHERE role = 'arch'", "ledger row arch/openai:made-up, column usd"},
		"answer deleted":         {"DELETE FROM events WHERE kind = 'model_answered'", "it is missing"},
		"transcript deleted":     {"DELETE FROM blobs WHERE hash = (SELECT transcript FROM sessions WHERE ending = 'capped')", "a content that it names"},
		"state deleted":          {"DELETE FROM state", "state: the row is missing"},
		"table added":            {"CREATE TABLE more (a)", "table more does not belong"},
		"trigger added":          {"CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM trials; END", "trigger t does not belong"},
		"view added":             {"CREATE VIEW v AS SELECT 1", "view v does not belong"},
		"index dropped":          {"DROP INDEX trials_ranked", "index trials_ranked is missing"},
		"column added":           {"ALTER TABLE trials ADD COLUMN more TEXT", "table trials was changed"},
		"table dropped":          {"DROP TABLE blobs", "table blobs is missing"},
		"events dropped":         {"DROP TABLE events", "table events is missing"},
		"other application":      {"PRAGMA application_id = 5", "not a run file"},
		"other format":           {"PRAGMA user_version = 0", "format is 0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			changed := copyFile(t, path)
			if _, err := openRaw(t, changed).Exec(c.statement); err != nil {
				t.Fatal(err)
			}
			report := must(lineage.Verify(changed, lineage.Options{Head: head}))(t)
			if !slices.ContainsFunc(report.Findings, func(f lineage.Finding) bool { return strings.Contains(f.String(), c.want) }) {
				t.Errorf("want %q among %v", c.want, report.Findings)
			}
		})
	}
}

func copyFile(t testing.TB, path string) string {
	t.Helper()
	changed := filepath.Join(t.TempDir(), lineage.FileName)
	if err := os.WriteFile(changed, must(os.ReadFile(path))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return changed
}

// TestRechainedFileFailsAgainstItsHead: whoever can write the file can also compute new hashes and
// projections; only a head that was printed before shows that.
func TestRechainedFileFailsAgainstItsHead(t *testing.T) {
	path := writeVariedRun(t)
	printed := wantIntact(t, path, lineage.Options{}).Head
	changed := copyFile(t, path)
	db := openRaw(t, changed)
	if _, err := db.Exec(`UPDATE events SET payload = replace(payload, '"host":"host"', '"host":"hosT"') WHERE seq = 2`); err != nil {
		t.Fatal(err)
	}
	rechain(t, db)
	wantIntact(t, changed, lineage.Options{})
	for _, text := range []string{printed.String(), string(printed.Hash), printed.String()[:20]} {
		head := must(lineage.ParseHead(text))(t)
		wantIntact(t, path, lineage.Options{Head: head})
		if report := must(lineage.Verify(changed, lineage.Options{Head: head}))(t); report.Err() == nil {
			t.Errorf("the file was chained anew and passes against %s", head)
		}
	}
	longer := must(lineage.Open(filepath.Dir(path)))(t)
	if _, err := longer.Append(ctx, research.Stopped{}); err != nil {
		t.Fatal(err)
	}
	if err := longer.Close(); err != nil {
		t.Fatal(err)
	}
	wantIntact(t, path, lineage.Options{Head: printed})
}

// rechain recomputes all hashes as documented, from the outside.
func rechain(t *testing.T, db *sql.DB) {
	t.Helper()
	prev := strings.Repeat("0", 64)
	for _, e := range query(t, db, "SELECT * FROM events ORDER BY seq") {
		sum := sha256.New()
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], uint64(e["seq"].(int64)))
		sum.Write(number[:])
		for _, field := range []any{e["at"], e["kind"], e["payload"], prev} {
			binary.BigEndian.PutUint64(number[:], uint64(len(field.(string))))
			sum.Write(number[:])
			io.WriteString(sum, field.(string))
		}
		hash := hex.EncodeToString(sum.Sum(nil))
		if _, err := db.Exec("UPDATE events SET prev = ?, hash = ? WHERE seq = ?", prev, hash, e["seq"]); err != nil {
			t.Fatal(err)
		}
		prev = hash
	}
}

// TestForgedVerdictIsFound although chain and projection were recomputed.
func TestForgedVerdictIsFound(t *testing.T) {
	path := filepath.Join(writeRun(t, 12), lineage.FileName)
	db := openRaw(t, path)
	if _, err := db.Exec(`UPDATE events SET payload = replace(payload, '"status":"discard"', '"status":"keep"') WHERE kind = 'judged'`); err != nil {
		t.Fatal(err)
	}
	rechain(t, db)
	report := must(lineage.Verify(path, lineage.Options{}))(t)
	if report.Err() == nil || !strings.Contains(report.Findings[0].Problem, `follows as "discard", not "keep"`) {
		t.Errorf("findings %v", report.Findings)
	}
	if hint := research.Hint(report.Err()); !strings.Contains(hint, "--upto") {
		t.Errorf("hint %q", hint)
	}
	intact := report.Findings[0].Intact
	if got := wantIntact(t, path, lineage.Options{UpTo: intact}); got.Head.Seq != intact {
		t.Errorf("looked up to event %d, want %d", got.Head.Seq, intact)
	}
}

// TestTruncatedFile is cut at many lengths: at every one it either shows that by itself or fails
// against the head, and never looks like a shorter run.
func TestTruncatedFile(t *testing.T) {
	path := writeVariedRun(t)
	head := wantIntact(t, path, lineage.Options{}).Head
	whole := must(os.ReadFile(path))(t)
	cut := filepath.Join(t.TempDir(), lineage.FileName)
	step := max(1, len(whole)/150)
	for length := 0; length < len(whole); length += step {
		wantBroken(t, cut, whole[:length], head, fmt.Sprintf("cut to %d bytes", length))
	}
	for length := 0; length < len(whole); length += 4096 {
		wantBroken(t, cut, whole[:length], head, fmt.Sprintf("cut to %d bytes", length))
	}
	wantBroken(t, cut, whole[:len(whole)-1], head, "cut by one byte")
}

func wantBroken(t *testing.T, path string, content []byte, head lineage.Head, what string) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := lineage.Verify(path, lineage.Options{Head: head})
	if err == nil {
		err = report.Err()
	}
	if err == nil {
		t.Errorf("%s: it passes", what)
	} else if strings.TrimSpace(err.Error()) == "" {
		t.Errorf("%s: the error says nothing", what)
	}
}

// TestGarbageNeverCrashesVerify overwrites random stretches. A change in bytes that hold nothing
// may pass; reading must always end, with words.
func TestGarbageNeverCrashesVerify(t *testing.T) {
	path := writeVariedRun(t)
	whole := must(os.ReadFile(path))(t)
	rng := rand.New(rand.NewPCG(7, 7))
	broken := filepath.Join(t.TempDir(), lineage.FileName)
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	for round := range rounds {
		content := bytes.Clone(whole)
		for range 1 + rng.IntN(5) {
			at := rng.IntN(len(content))
			if rng.IntN(3) == 0 {
				at = rng.IntN(200) // the header and the schema's root
			}
			for i := at; i < min(len(content), at+1+rng.IntN(40)); i++ {
				content[i] = byte(rng.Uint32())
			}
		}
		if err := os.WriteFile(broken, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := lineage.Verify(broken, lineage.Options{}); err != nil {
			t.Logf("round %d: %v", round, err)
		}
		if r, err := lineage.OpenReader(broken); err == nil {
			_, _ = r.Leaderboard(5)
			_, _ = r.Trials(lineage.Filter{})
			_, _ = r.Pending()
			r.Close()
		}
	}
}

func TestParseHead(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 4)
	for text, want := range map[string]lineage.Head{
		"212:" + hash: {Seq: 212, Hash: research.Hash(hash)}, hash: {Hash: research.Hash(hash)},
		" 7:" + strings.ToUpper(hash[:12]) + "\n": {Seq: 7, Hash: research.Hash(hash[:12])},
	} {
		if got, err := lineage.ParseHead(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "212", "212:", "0:" + hash, "-1:" + hash, "x:" + hash, "1:" + hash + "0", hash[:11], "1:" + strings.Repeat("g", 64)} {
		if got, err := lineage.ParseHead(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
