package duty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/release"
)

const (
	postTime  = 10 * time.Second // for each try
	postTries = 3
	postPause = time.Second // before the second try; twice as long before the third
)

// Poster sends findings by HTTP.
type Poster struct {
	client *http.Client
	pause  time.Duration
}

// NewPoster returns a poster. It uses no proxy.
func NewPoster() *Poster {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConns = 4
	return &Poster{&http.Client{Transport: transport, Timeout: postTime, CheckRedirect: checkRedirect}, postPause}
}

// checkRedirect follows what leads the same request to the same host, as no other was chosen to be told.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) >= 3:
		return errors.New("redirected too often")
	case req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme:
		return errors.New("redirected to another host")
	case req.Method != first.Method:
		return errors.New("redirected to a page") // 301 to 303: it would be fetched
	}
	return nil
}

// Post sends a finding as JSON to a URL. Where the other side cannot be reached or has trouble of its own (429, 5xx), it tries thrice. An error does not tell
// more of the URL than [guard.Host].
func (p *Poster) Post(ctx context.Context, to string, f *guard.Finding) error {
	fail := func(err error) error { return fmt.Errorf("post to %s: %w", guard.Host(to), err) }
	body, err := json.Marshal(f)
	if err != nil {
		return fail(err)
	}
	pause := p.pause
	for try := 1; ; try++ {
		again, err := p.try(ctx, to, body)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fail(ctx.Err())
		}
		if !again || try == postTries {
			return fail(err)
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return fail(err)
		}
	}
}

func (p *Poster) try(ctx context.Context, to string, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("not a URL") // the error has it in full
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "spoor-guard/"+release.Version)
	answer, err := p.client.Do(req)
	if err != nil {
		refused := answer != nil // by checkRedirect
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the URL
		}
		return !refused, err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return false, nil
	default:
		return code == http.StatusTooManyRequests || code >= 500, fmt.Errorf("answered %d %s", code, http.StatusText(code))
	}
}
