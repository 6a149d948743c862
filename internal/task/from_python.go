package task

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// findPython finds the virtual or conda environment in which a researcher runs the repository: the
// one that is active, one that lies in the repository, or an active conda environment.
func findPython(repo string, getenv func(string) string) (python, why string) {
	if dir := getenv("VIRTUAL_ENV"); isVenv(dir) {
		return dir, "it is active (VIRTUAL_ENV)"
	}
	for _, name := range []string{".venv", "venv", "env", ".env"} {
		if dir := filepath.Join(repo, name); isVenv(dir) {
			return dir, "it lies in the repository"
		}
	}
	if dir := getenv("CONDA_PREFIX"); dir != "" {
		if interpreter := filepath.Join(dir, "bin", "python3"); fileExists(dir, "bin/python3") {
			return interpreter, "it is active (CONDA_PREFIX)"
		}
	}
	return "", ""
}

func isVenv(dir string) bool { return dir != "" && fileExists(dir, "pyvenv.cfg") }

// hookPath finds the directories in the import hook that setuptools writes for an editable install.
var hookPath = regexp.MustCompile(`:\s*['"](/[^'"]*)['"]`)

// editableInstalls lists the directories from which an environment imports by .pth files and
// import hooks instead of from its own packages.
func editableInstalls(python string) []string {
	root := python
	if info, err := os.Stat(python); err == nil && !info.IsDir() {
		root = filepath.Dir(filepath.Dir(python))
	}
	var dirs []string
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(dirs, real) {
			dirs = append(dirs, real)
		}
	}
	for _, pattern := range []string{"*.pth", "__editable___*_finder.py"} {
		files, _ := filepath.Glob(filepath.Join(root, "lib*", "python3*", "site-packages", pattern))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				continue // an environment that cannot be read shows when a trial starts
			}
			if strings.HasSuffix(file, ".py") {
				for _, m := range hookPath.FindAllSubmatch(data, -1) {
					add(string(m[1]))
				}
				continue
			}
			lines := bufio.NewScanner(bytes.NewReader(data))
			for lines.Scan() {
				if line := strings.TrimSpace(lines.Text()); filepath.IsAbs(line) {
					add(line)
				}
			}
		}
	}
	return dirs
}

// usualPackages are recognized in import statements where no environment says what there is.
var usualPackages = []string{
	"numpy", "torch", "torchvision", "torchaudio", "scipy", "pandas", "sklearn", "matplotlib", "tqdm", "yaml", "jax", "flax", "optax",
	"tensorflow", "keras", "transformers", "datasets", "tokenizers", "tiktoken", "einops", "numba", "PIL", "xgboost", "lightgbm", "networkx",
}

var importLine = regexp.MustCompile(`(?m)^[ \t]*(?:import|from)[ \t]+([A-Za-z_][A-Za-z0-9_]*)`)

// importedPackages lists the usual packages that Python files import.
func importedPackages(files []File) []string {
	found := []string{}
	for _, f := range files {
		if !strings.HasSuffix(f.Path, ".py") {
			continue
		}
		for _, m := range importLine.FindAllSubmatch(f.Data, -1) {
			if name := string(m[1]); slices.Contains(usualPackages, name) && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	slices.Sort(found)
	return found
}
