package lineage

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// applicationID marks a file as ours: "Mndl".
	applicationID = 0x4d6e646c
	// schemaVersion grows with every change of the tables or of the facts' fields. A file of an older one,
	// from oldestVersion on, is read as it is, and gets the tables it lacks when it is opened for writing.
	schemaVersion = 4
	oldestVersion = 2
)

// storage holds what cannot be recomputed. {} is where a schema's name goes.
const storage = `
CREATE TABLE events (
	seq     INTEGER PRIMARY KEY,
	at      TEXT NOT NULL,
	kind    TEXT NOT NULL,
	payload TEXT NOT NULL,
	prev    TEXT NOT NULL,
	hash    TEXT NOT NULL
) STRICT;
CREATE TABLE blobs (
	hash        TEXT PRIMARY KEY,
	size        INTEGER NOT NULL,
	base        TEXT NOT NULL,
	codec       TEXT NOT NULL,
	stored_hash TEXT NOT NULL,
	data        BLOB NOT NULL
) STRICT`

// projections hold what is recomputed from the events. Times are text as in events, except the
// supervised time, which is summed in nanoseconds. order_score is the score, negated where more
// is better, so that ascending order is best first. In sessions, asked counts model calls that
// were begun and turns those that were settled; open_calls holds the calls between the two, so
// that what is reserved is the sum over a few rows and leaves no rounding behind.
const projections = `
CREATE TABLE {}state (
	id                 INTEGER PRIMARY KEY CHECK (id = 1),
	trials             INTEGER NOT NULL,
	sessions           INTEGER NOT NULL,
	incumbent          INTEGER,
	noise              TEXT,
	budgets            TEXT NOT NULL,
	last_at            TEXT NOT NULL,
	supervising        INTEGER NOT NULL,
	supervised_ns      INTEGER NOT NULL,
	kept_at            TEXT NOT NULL,
	kept_supervised_ns INTEGER NOT NULL,
	trial_s            REAL NOT NULL,
	lost_s             REAL NOT NULL,
	check_cpu_s        REAL NOT NULL
) STRICT;
CREATE TABLE {}trials (
	id           INTEGER PRIMARY KEY,
	parent       INTEGER,
	role         TEXT NOT NULL,
	proposer     TEXT NOT NULL,
	session      INTEGER NOT NULL,
	key          TEXT NOT NULL,
	hypothesis   TEXT NOT NULL,
	expected     REAL,
	notes        TEXT NOT NULL,
	tree         TEXT NOT NULL,
	tokens       TEXT NOT NULL,
	incumbent    INTEGER NOT NULL,
	confinement  TEXT NOT NULL,
	submitted_at TEXT NOT NULL,
	started_at   TEXT NOT NULL,
	ended_at     TEXT NOT NULL,
	replicates   INTEGER NOT NULL,
	status       TEXT NOT NULL,
	score        REAL,
	order_score  REAL,
	measured_seq INTEGER,
	judged_seq   INTEGER
) STRICT;
CREATE INDEX {}trials_by_role ON trials (role, id);
CREATE INDEX {}trials_by_status ON trials (status, id);
CREATE INDEX {}trials_by_parent ON trials (parent, id);
CREATE INDEX {}trials_by_session ON trials (session, id) WHERE session > 0;
CREATE INDEX {}trials_by_tokens ON trials (tokens, id);
CREATE INDEX {}trials_ranked ON trials (order_score, id) WHERE status IN ('baseline', 'keep');
CREATE INDEX {}trials_improving ON trials (judged_seq) WHERE status IN ('baseline', 'keep');
CREATE INDEX {}trials_stopped ON trials (order_score, id) WHERE status IN ('disqualified', 'size_blocked', 'train_budget_overrun', 'eval_budget_overrun');
CREATE INDEX {}trials_telling ON trials (id) WHERE status NOT IN ('', 'harness_abort');
CREATE INDEX {}trials_telling_by_role ON trials (role, id) WHERE status NOT IN ('', 'harness_abort');
CREATE INDEX {}trials_telling_by_parent ON trials (parent, id) WHERE status NOT IN ('', 'harness_abort');
CREATE INDEX {}trials_crashed ON trials (role, id) WHERE status IN ('crash', 'preflight_crash');
CREATE TABLE {}attempts (
	trial         INTEGER NOT NULL,
	replicate     INTEGER NOT NULL,
	number        INTEGER NOT NULL,
	token         TEXT NOT NULL,
	seeds         TEXT NOT NULL,
	executor      TEXT NOT NULL,
	bundle        TEXT NOT NULL,
	state         TEXT NOT NULL,
	dispatched_at TEXT NOT NULL,
	ended_at      TEXT NOT NULL,
	outcome       TEXT NOT NULL,
	score         REAL,
	reason        TEXT NOT NULL,
	wall_s        REAL NOT NULL,
	measured_seq  INTEGER,
	PRIMARY KEY (trial, replicate, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE {}sessions (
	id          INTEGER PRIMARY KEY,
	agent       TEXT NOT NULL,
	role        TEXT NOT NULL,
	proposer    TEXT NOT NULL,
	base        INTEGER NOT NULL,
	prompt      TEXT NOT NULL,
	opened_at   TEXT NOT NULL,
	closed_at   TEXT NOT NULL,
	ending      TEXT NOT NULL,
	error       TEXT NOT NULL,
	transcript  TEXT NOT NULL,
	calls       INTEGER NOT NULL,
	check_cpu_s REAL NOT NULL,
	asked       INTEGER NOT NULL,
	turns       INTEGER NOT NULL,
	input       INTEGER NOT NULL,
	cache_read  INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	output      INTEGER NOT NULL,
	thinking    INTEGER NOT NULL,
	tokens      INTEGER NOT NULL,
	usd         REAL NOT NULL
) STRICT;
CREATE INDEX {}sessions_open ON sessions (id) WHERE closed_at = '';
CREATE TABLE {}open_calls (
	session INTEGER NOT NULL,
	call    INTEGER NOT NULL,
	model   TEXT NOT NULL,
	tokens  INTEGER NOT NULL,
	usd     REAL NOT NULL,
	PRIMARY KEY (session, call)
) STRICT, WITHOUT ROWID;
CREATE TABLE {}ledger (
	role        TEXT NOT NULL,
	model       TEXT NOT NULL,
	sessions    INTEGER NOT NULL,
	calls       INTEGER NOT NULL,
	failed      INTEGER NOT NULL,
	unpriced    INTEGER NOT NULL,
	input       INTEGER NOT NULL,
	cache_read  INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	output      INTEGER NOT NULL,
	thinking    INTEGER NOT NULL,
	tokens      INTEGER NOT NULL,
	usd         REAL NOT NULL,
	PRIMARY KEY (role, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE {}tallies (
	role   TEXT NOT NULL,
	status TEXT NOT NULL,
	n      INTEGER NOT NULL,
	PRIMARY KEY (role, status)
) STRICT, WITHOUT ROWID;
` + since3 + `;
` + since4

// since3 came with version 3. In confirmations, kept is NULL while one is under way; measured and
// wall_s are of the replicates that were accepted.
const since3 = `CREATE TABLE {}confirmations (
	number    INTEGER PRIMARY KEY,
	trial     INTEGER NOT NULL,
	incumbent INTEGER NOT NULL,
	alpha     REAL NOT NULL,
	pairs     INTEGER NOT NULL,
	measured  INTEGER NOT NULL,
	wall_s    REAL NOT NULL,
	kept      INTEGER
) STRICT`

// since4 came with version 4. decision is empty while a certification is under way.
const since4 = `CREATE TABLE {}certifications (
	number      INTEGER PRIMARY KEY,
	incumbent   INTEGER NOT NULL,
	margin      REAL NOT NULL,
	alpha       REAL NOT NULL,
	pairs       INTEGER NOT NULL,
	entropy     TEXT NOT NULL,
	decision    TEXT NOT NULL,
	decided_seq INTEGER
) STRICT;
CREATE TABLE {}recertifications (
	certificate  INTEGER NOT NULL,
	replicate    INTEGER NOT NULL,
	number       INTEGER NOT NULL,
	token        TEXT NOT NULL,
	of           INTEGER NOT NULL,
	lost         TEXT NOT NULL,
	wall_s       REAL NOT NULL,
	measured_seq INTEGER,
	PRIMARY KEY (certificate, replicate, number)
) STRICT, WITHOUT ROWID`

// later are the tables by the version that they came with.
var later = []struct {
	since  int
	tables string
}{{3, since3}, {4, since4}}

// projected lists the projections with the columns that name a row, and the version they came with.
var projected = []struct {
	table, key string
	since      int
}{
	{"state", "id", 2},
	{"trials", "id", 2},
	{"attempts", "trial, replicate, number", 2},
	{"sessions", "id", 2},
	{"open_calls", "session, call", 2},
	{"ledger", "role, model", 2},
	{"tallies", "role, status", 2},
	{"confirmations", "number", 3},
	{"certifications", "number", 4},
	{"recertifications", "certificate, replicate, number", 4},
}

// upgrade gives a file of an older version the tables that it lacks. They are empty: no event of such a
// file fills them.
func upgrade(s *session) error {
	version, err := versionOf(s)
	if err != nil || version >= schemaVersion {
		return err
	}
	script := "BEGIN IMMEDIATE; "
	for _, l := range later {
		if l.since > version {
			script += strings.ReplaceAll(l.tables, "{}", "") + "; "
		}
	}
	return execAll(s, fmt.Sprintf("%sPRAGMA user_version = %d; COMMIT", script, schemaVersion))
}

func versionOf(s *session) (version int, err error) {
	return version, s.row(`PRAGMA user_version`, nil, &version)
}

// createSchema makes a run file's tables.
func createSchema(s *session) error {
	if err := execAll(s, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; %s", applicationID, schemaVersion, storage)); err != nil {
		return err
	}
	return createProjections(s, "")
}

// createProjections makes empty projections in the named schema ("temp." beside a file's own).
func createProjections(s *session, prefix string) error {
	return execAll(s, strings.ReplaceAll(projections, "{}", prefix))
}

func execAll(s *session, script string) error {
	for _, statement := range statements(script) {
		if err := s.exec(statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func statements(script string) []string {
	list := strings.Split(script, ";")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// schemaObjects gives the statement of each table and index of a run file of a version by what it makes,
// like "table trials". SQLite keeps the statements to the letter.
func schemaObjects(version int) map[string]string {
	objects := map[string]string{}
	tables := projections
	for _, l := range slices.Backward(later) {
		if version < l.since {
			tables = strings.TrimSuffix(tables, ";\n"+l.tables)
		}
	}
	for _, statement := range append(statements(storage), statements(strings.ReplaceAll(tables, "{}", ""))...) {
		words := strings.Fields(statement)
		objects[strings.ToLower(words[1])+" "+words[2]] = statement
	}
	return objects
}
