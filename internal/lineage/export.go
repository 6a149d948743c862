package lineage

import (
	"encoding/json"
	"io"

	"mendel/internal/research"
)

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
		return r.Each(func(t research.Trial) error {
			return enc.Encode(struct {
				research.Trial
				NearMiss bool `json:"near_miss,omitempty"`
			}{t, t.NearMiss(reg.Score)})
		})
	})
}
