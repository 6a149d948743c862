package analysis

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"mendel/internal/research"
)

const (
	// clusterCosine is the paper's: a hypothesis this near to a centroid joins its cluster.
	clusterCosine = 0.30
	// duplicateCosine makes a near-duplicate. It is calibrated: the paper reports 2.0 % for both
	// Parameter Golf arms with specialists, and any value from 0.611 to 0.632 gives 4 of 199 for both.
	duplicateCosine = 0.62
)

// Diversity says how different the hypotheses of a run are from one another.
type Diversity struct {
	// EffectiveClusters is the exponential of the Shannon entropy of the clusters' shares: as
	// many clusters of one size would be equally diverse. 0 where there is no trial.
	EffectiveClusters   float64 `json:"effective_clusters"`
	Clusters            int     `json:"clusters"`
	LargestClusterShare float64 `json:"largest_cluster_share"`
	// NearDuplicateShare is the share of near-duplicates among the trials that had an earlier one.
	NearDuplicateShare float64     `json:"near_duplicate_share"`
	NearDuplicates     []Duplicate `json:"near_duplicates,omitempty"`
}

// A Duplicate is a hypothesis with the earlier one that it comes nearest to.
type Duplicate struct {
	Trial  string  `json:"trial"`
	Of     string  `json:"of"`
	Cosine float64 `json:"cosine"`
}

// diversityOf takes the hypotheses in the order of the trials' ids.
func diversityOf(trials []research.Trial) Diversity {
	if len(trials) == 0 {
		return Diversity{}
	}
	trials = slices.Clone(trials)
	slices.SortFunc(trials, func(a, b research.Trial) int { return cmp.Compare(a.ID, b.ID) })
	texts := make([]string, len(trials))
	for i, t := range trials {
		texts[i] = t.Proposal.Hypothesis
	}
	vectors := tfidf(texts)
	sizes := cluster(vectors)
	d := Diversity{Clusters: len(sizes), LargestClusterShare: float64(slices.Max(sizes)) / float64(len(trials))}
	for _, n := range sizes {
		share := float64(n) / float64(len(trials))
		d.EffectiveClusters -= share * math.Log(share)
	}
	d.EffectiveClusters = math.Exp(d.EffectiveClusters)
	for i, v := range vectors {
		near, most := -1, 0.0
		for j := range vectors[:i] {
			if c := v.dot(vectors[j]); c > most {
				near, most = j, c
			}
		}
		if most >= duplicateCosine {
			d.NearDuplicates = append(d.NearDuplicates, Duplicate{Trial: trials[i].ID.String(), Of: trials[near].ID.String(), Cosine: most})
		}
	}
	if len(trials) > 1 {
		d.NearDuplicateShare = float64(len(d.NearDuplicates)) / float64(len(trials)-1)
	}
	return d
}

// tokens cuts a text into runs of ASCII letters, digits, '_' and '.', in lower case.
func tokens(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.'
	})
}

// A weight is the weight of one term; a vector holds them in the order of the terms, without zeros.
type weight struct {
	term  int
	value float64
}
type vector []weight

func (v vector) dot(w vector) float64 {
	var sum float64
	for i, j := 0, 0; i < len(v) && j < len(w); {
		switch a, b := v[i], w[j]; {
		case a.term < b.term:
			i++
		case a.term > b.term:
			j++
		default:
			sum += float64(a.value * b.value)
			i, j = i+1, j+1
		}
	}
	return sum
}

// tfidf weighs each term of a text by ln((1+n)/(1+df)) + 1, once however often it occurs, and
// scales each text to length 1. A text without terms is empty, and near to nothing.
func tfidf(texts []string) []vector {
	numbers := map[string]int{}
	var frequency []int
	present := make([][]int, len(texts))
	for i, text := range texts {
		for _, token := range tokens(text) {
			n, known := numbers[token]
			if !known {
				n = len(frequency)
				numbers[token], frequency = n, append(frequency, 0)
			}
			present[i] = append(present[i], n)
		}
		slices.Sort(present[i])
		present[i] = slices.Compact(present[i])
		for _, n := range present[i] {
			frequency[n]++
		}
	}
	vectors := make([]vector, len(texts))
	for i, terms := range present {
		var squares float64
		for _, n := range terms {
			w := math.Log(float64(1+len(texts))/float64(1+frequency[n])) + 1
			vectors[i] = append(vectors[i], weight{n, w})
			squares += float64(w * w)
		}
		for j := range vectors[i] {
			vectors[i][j].value /= math.Sqrt(squares)
		}
	}
	return vectors
}

// A centroid is the sum of its members: the cosine to it is that to their mean.
type centroid struct {
	sum     map[int]float64
	squares float64
	members int
}

func (c *centroid) cosine(v vector) float64 {
	var dot float64
	for _, w := range v {
		dot += float64(w.value * c.sum[w.term])
	}
	if dot == 0 {
		return 0
	}
	return dot / math.Sqrt(c.squares)
}

func (c *centroid) add(v vector) {
	for _, w := range v {
		old := c.sum[w.term]
		c.sum[w.term] = old + w.value
		c.squares += float64(w.value * (2*old + w.value))
	}
	c.members++
}

// cluster puts each vector into the cluster of the nearest centroid, the older one of two equally
// near, or opens a new one. It gives the sizes of the clusters.
func cluster(vectors []vector) []int {
	var centroids []*centroid
	for _, v := range vectors {
		var nearest *centroid
		most := 0.0
		for _, c := range centroids {
			if cosine := c.cosine(v); cosine > most {
				nearest, most = c, cosine
			}
		}
		if nearest == nil || most < clusterCosine {
			nearest = &centroid{sum: map[int]float64{}}
			centroids = append(centroids, nearest)
		}
		nearest.add(v)
	}
	sizes := make([]int, len(centroids))
	for i, c := range centroids {
		sizes[i] = c.members
	}
	return sizes
}
