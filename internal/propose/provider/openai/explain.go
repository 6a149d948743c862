package openai

import (
	"errors"
	"net/http"
	"strings"

	"mendel/internal/propose/provider/model"
)

// explain corrects the class of errors that mean something else with this protocol.
func (h habit) explain(err error) error {
	var e *model.Error
	if !errors.As(err, &e) {
		return err
	}
	if h.quotaIsRate && e.Status == http.StatusTooManyRequests {
		e.Class, e.Hint = model.Wait, ""
		return e
	}
	return forOperator(e)
}

// forOperator finds the errors that the operator has to mend: what a server says about an option
// is for him, since the same option goes with every request.
func forOperator(e *model.Error) *model.Error {
	if e.Class != model.BadRequest {
		return e
	}
	words := strings.ToLower(e.Message)
	about := func(word string) bool { return strings.Contains(words, word) }
	refused := about("support") || about("invalid value")
	hint := ""
	switch {
	case about("tool-call-parser"):
		hint = "start vLLM with --enable-auto-tool-choice and --tool-call-parser"
	case about("organization must be verified"):
		hint = "verify the organization in OpenAI's settings, or choose another model"
	case refused && about("not support tools"):
		hint = "choose a model that can call tools"
	case refused && (about("reasoning_effort") || about("reasoning.effort")):
		hint = "set thinking to 0, or choose another model: the server does not let this one think so, with tools"
	case refused && (about("web_search") || about("web search")):
		hint = "leave web_search out for this model"
	case refused && about("temperature"):
		hint = "leave temperature out for this model"
	}
	if hint != "" {
		e.Class, e.Hint = model.Misconfigured, hint
	}
	return e
}
