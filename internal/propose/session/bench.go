package session

import "context"

// A bench runs the tools' programs when the desk lets it. It implements [tool.Runner].
type bench struct{ *Session }

// Check runs one of the task's checks.
func (b bench) Check(ctx context.Context, name, treeDir string) (CheckResult, error) {
	return b.quietly(ctx, func() (CheckResult, error) { return b.options.Desk.Check(ctx, name, treeDir) })
}

// Shell runs a read-only command line.
func (b bench) Shell(ctx context.Context, treeDir, script string) (CheckResult, error) {
	return b.quietly(ctx, func() (CheckResult, error) { return b.options.Desk.Shell(ctx, treeDir, script) })
}

func (b bench) quietly(ctx context.Context, run func() (CheckResult, error)) (CheckResult, error) {
	b.pause() // an exclusive trial of others may take hours
	leave, err := b.options.Desk.Enter(ctx)
	b.unpause()
	if err != nil {
		return CheckResult{}, err
	}
	defer leave()
	return run()
}
