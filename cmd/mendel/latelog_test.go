package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestALateLogTakesWhatComesAfterItsFile(t *testing.T) {
	late := &lateLog{}
	log := slog.New(slog.NewTextHandler(late, nil))
	log.Warn("early")
	var file bytes.Buffer
	late.to(&file)
	log.Warn("refused", "host", "evil.example.com")
	if text := file.String(); strings.Contains(text, "early") || strings.Count(text, "host=evil.example.com") != 1 {
		t.Errorf("the file holds %q", text)
	}
}
