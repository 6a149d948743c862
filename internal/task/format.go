package task

import (
	"reflect"

	"mendel/internal/research"
)

// fileName is the one file that makes a directory a task.
const fileName = "task.yaml"

// The types below are task.yaml. A json tag names the key (one without omitempty is required),
// a jsonschema tag describes it: decoder, schema and reference all read these.

type taskFile struct {
	Name        string                 `json:"name" jsonschema:"lower-case words joined by dashes; the name of the task everywhere"`
	Title       string                 `json:"title" jsonschema:"the name as people read it"`
	Summary     string                 `json:"summary" jsonschema:"one sentence that specialists and people read"`
	Recipe      recipeSection          `json:"recipe" jsonschema:"the program that the agents edit"`
	Evaluator   *evaluatorSection      `json:"evaluator,omitempty" jsonschema:"the trusted code that measures"`
	Data        map[string]dataSection `json:"data,omitempty" jsonschema:"files that are mounted at /data/NAME, and who may see them"`
	Environment environmentSection     `json:"environment,omitempty" jsonschema:"what a recipe's process may see of the host: an allow-list, nothing else"`
	Checks      []checkSection         `json:"checks,omitempty" jsonschema:"free tools for specialists: no data mounted, little CPU"`
	Phases      []phaseSection         `json:"phases" jsonschema:"the measured steps of a trial, in order"`
	Artifact    artifactSection        `json:"artifact" jsonschema:"what training leaves behind, and what evaluation gets of it"`
	Cache       *cacheSection          `json:"cache,omitempty" jsonschema:"compiled code that one phase leaves for the later phases of its trial, which find it at MENDEL_CACHE"`
	Seeds       *int                   `json:"seeds,omitempty" jsonschema:"cold repetitions of every phase that does not run once; 1 unless given"`
	Baseline    baselineSection        `json:"baseline,omitempty" jsonschema:"how the starting recipe is measured"`
	Metrics     map[string]metricEntry `json:"metrics" jsonschema:"the numbers of a trial, and who establishes each"`
	Score       scoreSection           `json:"score" jsonschema:"the metric that is the score"`
	Noise       noiseSection           `json:"noise" jsonschema:"where the spread of the score comes from"`
	Limits      []limitSection         `json:"limits" jsonschema:"what a valid trial must not exceed; every task caps its artifact"`
	Gates       []gateSection          `json:"gates,omitempty" jsonschema:"quality that a valid trial must reach"`
	Resources   resourcesSection       `json:"resources,omitempty" jsonschema:"what one trial may use of the machine"`
	Sandbox     sandboxSection         `json:"sandbox,omitempty" jsonschema:"the isolation below which a run refuses to start"`
	Keep        keepSection            `json:"keep,omitempty" jsonschema:"when a trial replaces the incumbent"`
	Certificate *certificateSection    `json:"certificate,omitempty" jsonschema:"how a finding will be certified, fixed before the search"`
	Knowledge   knowledgeSection       `json:"knowledge,omitempty" jsonschema:"what specialists are told about the problem"`
	Roles       []roleSection          `json:"roles" jsonschema:"the specialists, and what each may edit"`
	Knobs       string                 `json:"knobs,omitempty" jsonschema:"file that lists the values that the mutate proposer may change"`
	Upstream    *upstreamSection       `json:"upstream,omitempty" jsonschema:"where the recipe comes from, when it is someone else's"`
}

type recipeSection struct {
	Dir      string   `json:"dir,omitempty" jsonschema:"directory of the starting recipe, which becomes trial 000; recipe unless given. Beside upstream.files: what the task adds to them, nothing unless given"`
	Editable []string `json:"editable" jsonschema:"globs of the files that agents may change; * stays inside a directory, ** crosses them"`
	Language string   `json:"language,omitempty" jsonschema:"python unless given; decides how duplicates are recognized"`
}

type evaluatorSection struct {
	Dir string `json:"dir" jsonschema:"directory of the evaluator; hashed into the run's registration, never visible to the recipe"`
}

type dataSection struct {
	Path      string   `json:"path,omitempty" jsonschema:"file or directory inside the package; left out when the site file says where it is"`
	VisibleTo []string `json:"visible_to" jsonschema:"names of phases, or evaluator, or certifier; what the evaluator or the certifier sees no phase may see"`
}

type environmentSection struct {
	Python   *pythonSection  `json:"python,omitempty" jsonschema:"that the recipe runs Python, and what it imports"`
	Programs []string        `json:"programs,omitempty" jsonschema:"other programs of the host that processes of the task may start, such as bash"`
	Env      map[string]text `json:"env,omitempty" jsonschema:"environment variables for every process"`
}

type pythonSection struct {
	Packages []string `json:"packages,omitempty" jsonschema:"installed packages that stay visible, by their import name"`
	Threads  *int     `json:"threads,omitempty" jsonschema:"threads of numerical libraries; 1 unless given"`
}

type checkSection struct {
	Name    string             `json:"name" jsonschema:"name of the tool, in lower_snake_case"`
	About   string             `json:"about,omitempty" jsonschema:"one sentence that tells a specialist what it is for"`
	Run     []string           `json:"run" jsonschema:"the command, as a list; {evaluator} and {recipe} stand for these directories"`
	Trusted bool               `json:"trusted,omitempty" jsonschema:"true runs the evaluator's own code on the recipe's files"`
	Timeout *research.Duration `json:"timeout,omitempty" jsonschema:"20s unless given"`
	OnFail  failOutcome        `json:"on_fail,omitempty" jsonschema:"when given, the check also runs before the phases of each trial, and failing it ends the trial so"`
}

type phaseSection struct {
	Name      string             `json:"name" jsonschema:"name of the phase"`
	Run       []string           `json:"run,omitempty" jsonschema:"the command of a phase that only runs the recipe, as a list"`
	Trusted   bool               `json:"trusted,omitempty" jsonschema:"true runs the evaluator's own code on what the phases before it left; no data is mounted"`
	Parts     []partSection      `json:"parts,omitempty" jsonschema:"shares of the time of a recipe that does several things in one process, told apart by lines that it prints; instead of budget and timeout"`
	Evaluator []string           `json:"evaluator,omitempty" jsonschema:"the trusted command of a phase in which the recipe is questioned"`
	Subject   []string           `json:"subject,omitempty" jsonschema:"the recipe's command that answers the evaluator"`
	Once      bool               `json:"once,omitempty" jsonschema:"once for a trial, not once for each seed"`
	Timeout   *research.Duration `json:"timeout,omitempty" jsonschema:"running longer is a failure (on_fail)"`
	Budget    *research.Duration `json:"budget,omitempty" jsonschema:"running longer than budget plus grace is an over-run (on_overrun)"`
	Grace     *research.Duration `json:"grace,omitempty" jsonschema:"tolerated beyond the budget"`
	KillAfter *research.Duration `json:"kill_after,omitempty" jsonschema:"when the process tree is killed; budget plus grace unless given, or later so that an over-run still gets its score"`
	OnOverrun overrunOutcome     `json:"on_overrun,omitempty" jsonschema:"what an over-run makes of the trial"`
	OnFail    failOutcome        `json:"on_fail,omitempty" jsonschema:"what a failure makes of the trial; crash unless given"`
	MaxFrame  *research.Bytes    `json:"max_frame,omitempty" jsonschema:"largest message between evaluator and subject; 64MiB unless given"`
	Env       map[string]text    `json:"env,omitempty" jsonschema:"environment variables for this phase"`
}

type partSection struct {
	Name      string             `json:"name" jsonschema:"name of the part; wall(NAME) is its time"`
	From      string             `json:"from,omitempty" jsonschema:"regular expression of the line with which it begins; the first part has none and begins with the process"`
	Budget    *research.Duration `json:"budget" jsonschema:"taking longer than budget plus grace is an over-run (on_overrun)"`
	Grace     *research.Duration `json:"grace,omitempty" jsonschema:"tolerated beyond the budget"`
	KillAfter *research.Duration `json:"kill_after,omitempty" jsonschema:"when the process tree is killed; budget plus grace unless given"`
	OnOverrun overrunOutcome     `json:"on_overrun,omitempty" jsonschema:"what an over-run makes of the trial; train_budget_overrun unless given"`
}

type artifactSection struct {
	Files      []string `json:"files,omitempty" jsonschema:"globs, relative to MENDEL_OUT, of what training leaves for evaluation"`
	CountsCode bool     `json:"counts_code,omitempty" jsonschema:"true adds the bytes of the editable files to the artifact's size"`
}

type cacheSection struct {
	From  string   `json:"from" jsonschema:"the phase that makes it: it runs once, and no data is visible to it, so that nothing learned can be in it"`
	Files []string `json:"files" jsonschema:"globs, relative to MENDEL_OUT, of what it leaves"`
}

type baselineSection struct {
	Replicates *int `json:"replicates,omitempty" jsonschema:"measurements of the starting recipe, from which the noise is known; 3 unless given, 1 without noise"`
}

type metricEntry struct {
	Source    research.Source `json:"source" jsonschema:"harness: the runner's clock and file sizes. evaluator: the trusted program. recipe-log: what the recipe printed, self-reported"`
	Unit      string          `json:"unit,omitempty" jsonschema:"the unit, as people read it"`
	Measure   string          `json:"measure,omitempty" jsonschema:"for harness: a sum of wall(PHASE), cpu(PHASE), bytes(artifact), bytes(code). For recipe-log: a sum of wall(PART), whose bounds are what the recipe prints"`
	Aggregate aggregate       `json:"aggregate,omitempty" jsonschema:"over seeds; mean unless given, max for bytes"`
	Pattern   string          `json:"pattern,omitempty" jsonschema:"for recipe-log: a regular expression with one group, the number"`
	Phase     string          `json:"phase,omitempty" jsonschema:"for recipe-log: the phase whose output is searched"`
	Take      take            `json:"take,omitempty" jsonschema:"for recipe-log: which match counts; last unless given"`
}

type scoreSection struct {
	Metric       string             `json:"metric" jsonschema:"a metric's name"`
	Direction    research.Direction `json:"direction" jsonschema:"which scores are better"`
	SelfReported bool               `json:"self_reported,omitempty" jsonschema:"must be true when the recipe prints its own score, so that nobody overlooks it"`
}

type noiseSection struct {
	Kind research.NoiseKind `json:"kind" jsonschema:"seeded: a new seed gives another score. timing: the clock does. none: the files determine it"`
}

type limitSection struct {
	Metric   string        `json:"metric" jsonschema:"a metric's name"`
	Max      *float64      `json:"max" jsonschema:"the largest value that is valid"`
	OnExceed exceedOutcome `json:"on_exceed,omitempty" jsonschema:"what exceeding it makes of the trial; size_blocked unless given where bytes are measured"`
}

type gateSection struct {
	Metric string      `json:"metric" jsonschema:"a metric's name"`
	Min    *float64    `json:"min,omitempty" jsonschema:"the smallest value that passes"`
	Max    *float64    `json:"max,omitempty" jsonschema:"the largest value that passes"`
	OnMiss missOutcome `json:"on_miss,omitempty" jsonschema:"disqualified"`
}

type resourcesSection struct {
	CPUs      *int            `json:"cpus,omitempty" jsonschema:"cores for one trial; 1 unless given"`
	GPUs      int             `json:"gpus,omitempty" jsonschema:"GPUs for one trial"`
	Memory    *research.Bytes `json:"memory,omitempty" jsonschema:"2GiB unless given"`
	Disk      *research.Bytes `json:"disk,omitempty" jsonschema:"scratch space of a process; 1GiB unless given"`
	Processes *int            `json:"processes,omitempty" jsonschema:"processes and threads at once; 64 unless given"`
	Exclusive exclusive       `json:"exclusive,omitempty" jsonschema:"host: nothing else of the run works on that machine meanwhile; the default where wall-clock is the score"`
}

type sandboxSection struct {
	Require sandboxLevel `json:"require,omitempty" jsonschema:"isolated unless given"`
}

type keepSection struct {
	Rule  research.Rule `json:"rule,omitempty" jsonschema:"strict: any improvement is kept, and called unconfirmed. confirmed: what looks better is measured again beside the incumbent first"`
	Alpha *float64      `json:"alpha,omitempty" jsonschema:"confirmed: risk that a whole run keeps anything which is no better; 0.05 unless given"`
	Pairs *int          `json:"pairs,omitempty" jsonschema:"confirmed: pairs of measurements that one confirmation takes at most; 24 unless given"`
}

type certificateSection struct {
	Margin float64 `json:"margin" jsonschema:"least gain over the baseline that counts, above 0, in the score's unit"`
	N      int     `json:"n" jsonschema:"pairs of fresh measurements"`
	Alpha  float64 `json:"alpha" jsonschema:"risk of certifying what is not true"`
}

type knowledgeSection struct {
	Pinned   []string `json:"pinned,omitempty" jsonschema:"files that every prompt carries"`
	OnDemand []string `json:"on_demand,omitempty" jsonschema:"files that a specialist can ask for"`
}

type roleSection struct {
	ID       string   `json:"id" jsonschema:"short name of the role"`
	Title    string   `json:"title" jsonschema:"the role as people read it"`
	Preamble string   `json:"preamble" jsonschema:"file that tells the specialist its scope and what it does not own"`
	MayEdit  []string `json:"may_edit" jsonschema:"globs within recipe.editable"`
}

type upstreamSection struct {
	Repo    string         `json:"repo" jsonschema:"repository, as owner/name or URL"`
	Commit  string         `json:"commit" jsonschema:"full commit hash"`
	Files   []upstreamFile `json:"files,omitempty" jsonschema:"what of it becomes the recipe, from the user's checkout (--recipe); nothing else of a checkout is read"`
	Patches []patchSection `json:"patches,omitempty" jsonschema:"changes that the task makes to these files; each must fit exactly once"`
}

type upstreamFile struct {
	Path   string `json:"path" jsonschema:"a tracked file of the repository, or a glob of them"`
	As     string `json:"as,omitempty" jsonschema:"its path in the recipe; the same unless given"`
	SHA256 string `json:"sha256,omitempty" jsonschema:"of the file as the repository has it"`
	Unwrap unwrap `json:"unwrap,omitempty" jsonschema:"lzma-base85: the file is Python that decodes and runs one literal, and what it decodes becomes the recipe's file"`
}

type patchSection struct {
	File    string `json:"file" jsonschema:"a file of the recipe"`
	Find    string `json:"find" jsonschema:"text that stands in it exactly once"`
	Replace string `json:"replace" jsonschema:"what takes its place"`
	Why     string `json:"why" jsonschema:"one sentence for people"`
}

type knobSection struct {
	Name    string            `json:"name" jsonschema:"name of the knob"`
	Role    string            `json:"role" jsonschema:"id of the role that turns it"`
	About   string            `json:"about,omitempty" jsonschema:"what it does"`
	Type    research.KnobType `json:"type" jsonschema:"what values it takes"`
	Min     *float64          `json:"min,omitempty" jsonschema:"smallest number"`
	Max     *float64          `json:"max,omitempty" jsonschema:"largest number"`
	Scale   scale             `json:"scale,omitempty" jsonschema:"how steps are taken; linear unless given"`
	Step    *float64          `json:"step,omitempty" jsonschema:"first step: added on a linear scale, multiplied on a log one"`
	Choices []text            `json:"choices,omitempty" jsonschema:"the values of a choice, as they stand in the file"`
	Place   placeSection      `json:"place" jsonschema:"where it stands in the recipe"`
}

type placeSection struct {
	File    string `json:"file" jsonschema:"file of the recipe"`
	Pattern string `json:"pattern" jsonschema:"multi-line regular expression that matches once, and whose one group is the value's text"`
}

// A text may also be written as a bare number or boolean.
type text string

// Closed sets of words. Each is its own type so that decoder and schema know its members.
type (
	failOutcome    string
	overrunOutcome string
	exceedOutcome  string
	missOutcome    string
	aggregate      string
	take           string
	exclusive      string
	sandboxLevel   string
	scale          string
	unwrap         string
)

// closedSetOf lists the members of one closed set.
func closedSetOf[T any]() []string { return closedSets()[reflect.TypeFor[T]()] }

func closedSets() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[research.Source]():    {"harness", "evaluator", "recipe-log"},
		reflect.TypeFor[research.Direction](): {"minimize", "maximize"},
		reflect.TypeFor[research.NoiseKind](): {"seeded", "timing", "none"},
		reflect.TypeFor[research.Rule]():      {"strict", "confirmed"},
		reflect.TypeFor[research.KnobType]():  {"int", "float", "choice", "bool"},
		reflect.TypeFor[failOutcome]():        {"crash", "preflight_crash", "size_blocked", "disqualified"},
		reflect.TypeFor[overrunOutcome]():     {"train_budget_overrun", "eval_budget_overrun"},
		reflect.TypeFor[exceedOutcome]():      {"size_blocked", "train_budget_overrun", "eval_budget_overrun", "disqualified"},
		reflect.TypeFor[missOutcome]():        {"disqualified"},
		reflect.TypeFor[aggregate]():          {"mean", "max", "min", "last"},
		reflect.TypeFor[take]():               {"last", "first"},
		reflect.TypeFor[exclusive]():          {"false", "host"},
		reflect.TypeFor[sandboxLevel]():       {"isolated", "confined", "limited", "none"},
		reflect.TypeFor[scale]():              {"linear", "log"},
		reflect.TypeFor[unwrap]():             {string(lzmaBase85)},
	}
}
