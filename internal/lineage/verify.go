package lineage

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"mendel/internal/research"
)

// Options choose what [Verify] checks.
type Options struct {
	// Head is what the lineage must contain, as a run printed it: it shows that a file was cut
	// or chained anew, which the file alone cannot. The zero Head asks nothing.
	Head Head
	// UpTo looks at the events up to this one alone. The projections, which show the lineage
	// after its last event, are then left out. 0 means all.
	UpTo int64
}

// A Finding is one thing that is not as it was written.
type Finding struct {
	Place   string // "event 212", "trials row 7, column score", "blob 9f86d081884c"
	Problem string
	// Intact is the last event before the finding, where the finding is an event; -1 elsewhere.
	Intact int64
}

func (f Finding) String() string { return f.Place + ": " + f.Problem }

// A Report is what Verify found.
type Report struct {
	Path   string
	Head   Head
	Events int64
	Trials int
	// Imported is how many trials stand with the scores and verdicts of the record that they were
	// imported from: of those, only what follows from them was recomputed.
	Imported int `json:",omitempty"`
	Blobs    int
	Bytes    int64 // of the blobs' contents
	// Findings is empty for an intact file. The first is the one to show.
	Findings []Finding
	Omitted  int // findings beyond the first maxFindings
}

// maxFindings keeps the report on a badly damaged file readable.
const maxFindings = 100

// Err is nil for an intact file, and otherwise the first finding with a hint.
func (r Report) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	f := r.Findings[0]
	err := fmt.Errorf("%s: %s", r.Path, f)
	switch {
	case f.Intact > 0:
		return research.Hinted(err, fmt.Sprintf("events 1-%d are intact; `mendel verify --upto %d %s` shows them", f.Intact, f.Intact, r.Path))
	case f.Intact == 0:
		return research.Hinted(err, "no event before it is left to trust: take a copy from elsewhere")
	}
	return err
}

// Verify recomputes everything in a run file that follows from something else: the chain of
// hashes, every verdict and projection, every blob. It needs no lock, and a live run may go on
// meanwhile. The error says that the file could not be looked at; what is wrong in it is a
// finding.
func Verify(dirOrFile string, options Options) (Report, error) {
	path, err := resolve(dirOrFile)
	if err != nil {
		return Report{Path: dirOrFile}, err
	}
	db, err := openFile(path)
	if err != nil {
		return Report{Path: path}, fmt.Errorf("%s: %w", path, err)
	}
	v := verification{options: options, report: Report{Path: path, Head: Head{Hash: genesis}}, named: map[research.Hash]bool{}}
	err = db.borrow(func(s *session) error {
		v.s = s
		return v.run()
	})
	if err != nil && !isDamage(err) {
		return v.report, errors.Join(fmt.Errorf("%s: %w", path, storeError(err)), db.close())
	}
	if err != nil {
		v.find("file", -1, "%v", storeError(err))
	}
	return v.report, db.close()
}

// isDamage says whether an error lies in the file, and not in the machine that reads it.
func isDamage(err error) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return true
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_INTERRUPT:
		return false
	}
	return true
}

// A verification is one pass over a file.
type verification struct {
	s       *session
	options Options
	report  Report
	named   map[research.Hash]bool // blobs that events name
	// replaying says that the projections of the events so far could be recomputed.
	replaying bool
	headSeen  bool
	version   int // of the file's format
	// excerpt says that contents are left out on purpose.
	excerpt bool
}

func (v *verification) find(place string, intact int64, format string, args ...any) {
	if len(v.report.Findings) == maxFindings {
		v.report.Omitted++
		return
	}
	v.report.Findings = append(v.report.Findings, Finding{Place: place, Problem: fmt.Sprintf(format, args...), Intact: intact})
}

// run makes all checks within one read transaction, on which a live run may go on.
func (v *verification) run() error {
	if err := v.s.exec("BEGIN"); err != nil {
		return err
	}
	if err := checkFormat(v.s); err != nil {
		return err
	}
	if err := v.schema(); err != nil {
		return err
	}
	if err := v.structure(); err != nil {
		return err
	}
	// Tables of these names in temp hide the file's own from the projector, which then fills them.
	if err := createProjections(v.s, "temp."); err != nil {
		return err
	}
	v.replaying = true
	if err := v.events(); err != nil {
		return err
	}
	v.head()
	if v.replaying && v.options.UpTo == 0 {
		if err := v.projections(); err != nil {
			return err
		}
	}
	return v.blobs()
}

// schema compares the tables and indexes with those of a new file.
func (v *verification) schema() error {
	type object struct{ name, statement string }
	// SQLite's own indexes of primary keys have no statement, and nobody can make others of that kind.
	stored, err := collect(v.s, func(row scanner) (o object, err error) {
		err = row.Scan(&o.name, &o.statement)
		return o, err
	}, `SELECT type || ' ' || name, coalesce(sql, '') FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite\_autoindex\_%' ESCAPE '\' ORDER BY 1`)
	if err != nil {
		return err
	}
	version, err := versionOf(v.s)
	if err != nil {
		return err
	}
	v.version = version
	missing := schemaObjects(version)
	for _, o := range stored {
		statement, ok := missing[o.name]
		switch {
		case !ok:
			v.find("schema", -1, "%s does not belong into a run file", o.name)
		case statement != o.statement:
			v.find("schema", -1, "%s was changed", o.name)
		}
		delete(missing, o.name)
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		v.find("schema", -1, "%s is missing", name)
	}
	return nil
}

// structure asks SQLite whether pages and indexes fit together.
func (v *verification) structure() error {
	problems, err := collect(v.s, scanOne[string], fmt.Sprintf("PRAGMA main.integrity_check(%d)", maxFindings))
	for _, p := range problems {
		if p != "ok" {
			v.find("file", -1, "it is damaged: %s", strings.TrimSpace(p))
		}
	}
	return err
}

// events follows the chain, and replays every event into the projections in temp.
func (v *verification) events() error {
	const page = 256
	projector := projector{s: v.s}
	after := int64(math.MinInt64)
	for {
		records, err := readRecords(v.s, after, page)
		if err != nil {
			return err
		}
		for _, r := range records {
			if v.options.UpTo > 0 && r.Seq > v.options.UpTo {
				return nil
			}
			if err := v.event(&projector, r); err != nil {
				return err
			}
			after = r.Seq
		}
		if len(records) < page {
			return nil
		}
	}
}

// event checks one event; only an error of SQLite ends the pass.
func (v *verification) event(p *projector, r record) error {
	before := v.report.Head
	place := fmt.Sprintf("event %d", r.Seq)
	problem := func(format string, args ...any) { v.find(place, before.Seq, format, args...) }
	if want := before.Seq + 1; r.Seq > want {
		v.find(fmt.Sprintf("event %d", want), before.Seq, "it is missing: event %d comes next", r.Seq)
		v.replaying = false
	} else if r.Seq < want {
		problem("an event has a number from 1")
		v.replaying = false
	}
	if r.Prev != before.Hash {
		if before.Seq == 0 {
			problem("hash does not follow from the beginning")
		} else {
			problem("hash does not follow from event %d", before.Seq)
		}
	}
	if sum := r.sum(); r.Hash != sum {
		problem("content and hash do not belong together: the hash is %s, and the content has %s", r.Hash.Short(), sum.Short())
	}
	v.report.Head = Head{Seq: r.Seq, Hash: r.Hash}
	v.report.Events++
	v.compareHead(r)
	event, err := r.event()
	if err != nil {
		problem("%v", err)
		v.replaying = false
		return nil
	}
	if registered, ok := event.Fact.(research.Registered); ok && (registered.VerdictVersion < 1 || registered.VerdictVersion > research.VerdictVersion) {
		problem("its verdicts were made by arithmetic %d, and this program can recompute 1 to %d", registered.VerdictVersion, research.VerdictVersion)
		v.replaying = false
	}
	switch event.Fact.(type) {
	case research.Submitted:
		v.report.Trials++
	case research.TrialImported:
		v.report.Trials++
		v.report.Imported++
	}
	if !v.excerpt {
		v.names(event)
	}
	if !v.replaying {
		return nil
	}
	err = p.apply(event)
	if unfit := (*MisfitError)(nil); errors.As(err, &unfit) {
		problem("%v", unfit)
		v.replaying = false
		return nil
	}
	return err
}

// compareHead looks whether an event is the one that the given head names.
func (v *verification) compareHead(r record) {
	want := v.options.Head
	if want.Hash == "" || want.Seq != 0 && want.Seq != r.Seq {
		return
	}
	matches := strings.HasPrefix(string(r.Hash), string(want.Hash))
	if want.Seq != 0 && !matches {
		v.find(fmt.Sprintf("event %d", r.Seq), -1, "its hash is %s, and the given head says %s: the history was rewritten, or this is another run", r.Hash.Short(), want.Hash.Short())
	}
	v.headSeen = v.headSeen || matches || want.Seq != 0
}

// head says when the given head lies beyond the end.
func (v *verification) head() {
	want := v.options.Head
	switch {
	case want.Hash == "" || v.headSeen:
	case want.Seq == 0:
		v.find(fmt.Sprintf("event %d", v.report.Head.Seq), -1, "the lineage ends here without an event of the given hash %s", want.Hash.Short())
	case v.options.UpTo > 0 && want.Seq > v.options.UpTo:
		v.find(fmt.Sprintf("event %d", v.report.Head.Seq), -1, "the given head is event %d, beyond what was looked at", want.Seq)
	default:
		v.find(fmt.Sprintf("event %d", v.report.Head.Seq), -1, "the lineage ends here, before the given head, event %d", want.Seq)
	}
}
