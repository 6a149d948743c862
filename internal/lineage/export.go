package lineage

import (
	"encoding/json"
	"io"

	"mendel/internal/research"
)

// each hands over all trials in the order of their ids, within the memory of a few.
func (r *Reader) each(fn func(research.Trial) error) error {
	last := research.TrialID(-1)
	for {
		page, err := r.Trials(Filter{After: &last, Limit: defaultLimit})
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := fn(t); err != nil {
				return err
			}
			last = t.ID
		}
		if len(page) < defaultLimit {
			return nil
		}
	}
}

// ExportJSONL writes one JSON object a line for each trial: proposal, measurement with metrics and
// margins, verdict and status, as in research.Trial, and whether it is a near miss.
func (r *Reader) ExportJSONL(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return r.Snapshot(func(r *Reader) error {
		reg, err := r.Registration()
		if err != nil {
			return err
		}
		return r.each(func(t research.Trial) error {
			return enc.Encode(struct {
				research.Trial
				NearMiss bool `json:"near_miss,omitempty"`
			}{t, t.NearMiss(reg.Score)})
		})
	})
}
