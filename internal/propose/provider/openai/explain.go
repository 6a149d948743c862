package openai

import (
	"errors"
	"net/http"
	"strings"

	"mendel/internal/propose/provider/model"
)

// explain corrects the class of errors that mean something else with this protocol: what a server
// says about an option is for the operator, since the same option goes with every request.
func (h habit) explain(err error) error {
	var e *model.Error
	if !errors.As(err, &e) {
		return err
	}
	if h.quotaIsRate && e.Status == http.StatusTooManyRequests {
		e.Class, e.Hint = model.Wait, ""
		return e
	}
	if e.Class != model.BadRequest {
		return e
	}
	words := strings.ToLower(e.Message)
	refused := strings.Contains(words, "support") || strings.Contains(words, "invalid value")
	switch {
	case strings.Contains(words, "tool-call-parser"):
		e.Class, e.Hint = model.Misconfigured, "start vLLM with --enable-auto-tool-choice and --tool-call-parser"
	case refused && strings.Contains(words, "not support tools"):
		e.Class, e.Hint = model.Misconfigured, "choose a model that can call tools"
	case refused && strings.Contains(words, "reasoning_effort"):
		e.Class, e.Hint = model.Misconfigured, "set thinking to 0, or choose another model: this server does not let this one think and call tools at once"
	case refused && strings.Contains(words, "temperature"):
		e.Class, e.Hint = model.Misconfigured, "leave temperature out for this model"
	}
	return e
}
