// Package parameter reads a parameter of AWS Systems Manager. It makes the one
// request by itself: the SDK's client of Systems Manager describes some 150
// operations to itself at each start, which takes a third as long as the whole
// start of an empty function.
package parameter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Error is Systems Manager's refusal; its text holds nothing of the request but
// the parameter's name.
type Error struct {
	Name, Code string
}

// Error says which parameter was not read, and the service's code.
func (e *Error) Error() string {
	return fmt.Sprintf("Systems Manager did not give the parameter %s (%s)", e.Name, e.Code)
}

// ErrorCode is the service's code, such as ParameterNotFound; "no answer" where
// there was none.
func (e *Error) ErrorCode() string { return e.Code }

const (
	timeout = 10 * time.Second
	// most is what an answer may take; a value has 8 KB at most.
	most = 64 << 10
	// longestCode is more than any error's name has, its namespace included.
	longestCode = 200
)

// Read gives the value of a parameter of type String (GetParameter in the API
// reference of Systems Manager). Every error is an [*Error].
func Read(ctx context.Context, c aws.Config, name string) (string, error) {
	failed := func(code string) (string, error) { return "", &Error{Name: name, Code: code} }
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"Name": name})
	if err != nil {
		return failed("no request")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint(c), bytes.NewReader(body))
	if err != nil {
		return failed("no request")
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonSSM.GetParameter")
	credentials, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return failed("no credentials")
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(sum[:]), "ssm", c.Region, time.Now()); err != nil {
		return failed("no signature")
	}
	var client aws.HTTPClient = http.DefaultClient
	if c.HTTPClient != nil {
		client = c.HTTPClient
	}
	response, err := client.Do(r)
	if err != nil {
		return failed("no answer")
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return failed("no answer")
	}
	var answer struct {
		Parameter *struct{ Value string }
		Type      string `json:"__type"`
	}
	err = json.Unmarshal(text, &answer)
	switch {
	case response.StatusCode != http.StatusOK && answer.Type != "" && len(answer.Type) <= longestCode:
		return failed(answer.Type[strings.LastIndexByte(answer.Type, '#')+1:])
	case response.StatusCode != http.StatusOK:
		return failed(strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode))
	case err != nil || answer.Parameter == nil:
		return failed("an answer that is none")
	}
	return answer.Parameter.Value, nil
}

// endpoint is the service's address in the configuration's region (AWS General
// Reference, "Systems Manager endpoints").
func endpoint(c aws.Config) string {
	if c.BaseEndpoint != nil {
		return *c.BaseEndpoint
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(c.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	return "https://ssm." + c.Region + "." + domain + "/"
}
