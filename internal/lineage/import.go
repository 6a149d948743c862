package lineage

import (
	"time"

	"mendel/internal/research"
)

// Import makes the run file of dir from a record that was read elsewhere: its registration, which
// must say where it comes from, and its trials in the order of their ids. The file appears whole
// or not at all, and is never written again.
func Import(dir string, reg research.Registration, trials []research.TrialImported, now time.Time) error {
	return create(dir, func(path string) error {
		return createDraft(path, reg, nil, func(s *Store) error {
			for _, t := range trials {
				if _, err := s.write(now, t, nil); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
