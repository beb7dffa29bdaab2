package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyturn/internal/ca/kms/kmstest"
)

// cloud is Secrets Manager, SSM's parameters and KMS behind one address, and
// refuses what AWS refuses (their API References). A member of a request that
// it does not know is an error.
type cloud struct {
	kms *kmstest.KMS
	url string

	mu         sync.Mutex
	secrets    map[string]*fakeSecret
	parameters map[string]fakeParameter
	fail       map[string]string // operation: code
	before     func(operation string)
	calls      []string
}

type fakeSecret struct {
	versions map[string]string // id: value
	current  string            // the version that AWSCURRENT is attached to
	deleted  bool
}

type fakeParameter struct{ Value, Type, Tier string }

// newCloud starts the services and sets the environment of somebody who has
// signed in to them.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{kms: kmstest.New(t), secrets: map[string]*fakeSecret{}, parameters: map[string]fakeParameter{}, fail: map[string]string{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	in, err := c.kms.Config().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	strangerToAWS(t)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": kmstest.Region,
		"AWS_ACCESS_KEY_ID": in.AccessKeyID, "AWS_SECRET_ACCESS_KEY": in.SecretAccessKey, "AWS_SESSION_TOKEN": in.SessionToken,
	} {
		t.Setenv(name, value)
	}
	return c
}

// strangerToAWS hides whatever the machine knows of AWS.
func strangerToAWS(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
		"AWS_PROFILE": "", "AWS_DEFAULT_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "",
	} {
		t.Setenv(name, value)
	}
}

func secretARN(name string) string {
	return "arn:aws:secretsmanager:" + kmstest.Region + ":123456789012:secret:" + name + "-AbCdEf"
}

// addSecret makes a secret as the stack does, without a value, or with values
// one after the other.
func (c *cloud) addSecret(name string, values ...string) *fakeSecret {
	s := &fakeSecret{versions: map[string]string{}}
	for i, value := range values {
		s.current = fmt.Sprintf("%032d", i)
		s.versions[s.current] = value
	}
	c.secrets[name] = s
	return s
}

func (s *fakeSecret) value() string { return s.versions[s.current] }

type apiError struct{ code, message string }

func refused(code, format string, args ...any) *apiError {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if service == "TrentService" {
		c.kms.ServeHTTP(w, r)
		return
	}
	if c.before != nil {
		c.before(operation)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, operation)
	var answer any
	var e *apiError
	switch code := c.fail[operation]; {
	case code == "no answer":
		panic(http.ErrAbortHandler)
	case code != "":
		// AWS, too, quotes what it was sent.
		e = refused(code, "told to by the test: x-amz-security-token:%s", r.Header.Get("X-Amz-Security-Token"))
		if code == "AccessDeniedException" {
			e.message = "User: arn:aws:iam::123456789012:user/ops is not authorized to perform this"
		}
	case !strings.Contains(r.Header.Get("Authorization"), "/"+kmstest.Region+"/"+map[string]string{"secretsmanager": "secretsmanager", "AmazonSSM": "ssm"}[service]+"/aws4_request"):
		e = refused("IncompleteSignature", "")
	default:
		answer, e = c.answer(operation, json.NewDecoder(r.Body))
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if e != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]string{"__type": e.code, "message": e.message}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (c *cloud) answer(operation string, body *json.Decoder) (any, *apiError) {
	body.DisallowUnknownFields()
	var in any
	var do func() (any, *apiError)
	switch operation {
	case "DescribeSecret":
		r := &struct{ SecretID string }{}
		in, do = r, func() (any, *apiError) { return c.describeSecret(r.SecretID) }
	case "GetSecretValue":
		r := &struct{ SecretID, VersionID string }{}
		in, do = r, func() (any, *apiError) { return c.getSecretValue(r.SecretID, r.VersionID) }
	case "PutSecretValue":
		r := &struct{ SecretID, SecretString, ClientRequestToken string }{}
		in, do = r, func() (any, *apiError) { return c.putSecretValue(r.SecretID, r.SecretString, r.ClientRequestToken) }
	case "GetParameter":
		r := &struct{ Name string }{}
		in, do = r, func() (any, *apiError) {
			p, ok := c.parameters[r.Name]
			if !ok {
				return nil, refused("ParameterNotFound", "")
			}
			return map[string]any{"Parameter": p}, nil
		}
	case "PutParameter":
		r := &struct {
			Name, Description string
			Overwrite         bool
			fakeParameter
		}{}
		in, do = r, func() (any, *apiError) { return c.putParameter(r.Name, r.Overwrite, r.fakeParameter) }
	default:
		return nil, refused("UnknownOperationException", "")
	}
	if err := body.Decode(in); err != nil {
		return nil, refused("SerializationException", "%v", err)
	}
	return do()
}

func (c *cloud) find(id string) (string, *fakeSecret, *apiError) {
	for name, s := range c.secrets {
		if id == name || id == secretARN(name) {
			return name, s, nil
		}
	}
	return "", nil, refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (c *cloud) describeSecret(id string) (any, *apiError) {
	name, s, e := c.find(id)
	if e != nil {
		return nil, e
	}
	out := map[string]any{"ARN": secretARN(name), "Name": name}
	if s.deleted {
		out["DeletedDate"] = float64(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).Unix())
	}
	stages := map[string][]string{}
	for version := range s.versions {
		stages[version] = []string{"AWSPREVIOUS"}
		if version == s.current {
			stages[version] = []string{"AWSCURRENT"}
		}
	}
	if len(stages) > 0 {
		out["VersionIdsToStages"] = stages
	}
	return out, nil
}

func (c *cloud) getSecretValue(id, version string) (any, *apiError) {
	name, s, e := c.find(id)
	switch {
	case e != nil:
		return nil, e
	case s.deleted:
		return nil, refused("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	case version == "":
		version = s.current
	}
	value, ok := s.versions[version]
	if !ok {
		return nil, refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	}
	return map[string]any{"ARN": secretARN(name), "Name": name, "VersionId": version, "SecretString": value}, nil
}

// putSecretValue takes the token as the version's id: the same value once more
// changes nothing, another one under an id that is taken is refused.
func (c *cloud) putSecretValue(id, value, token string) (any, *apiError) {
	name, s, e := c.find(id)
	switch old, exists := s.version(token); {
	case e != nil:
		return nil, e
	case s.deleted:
		return nil, refused("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	case len(token) < 32 || len(token) > 64:
		return nil, refused("ValidationException", "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: %s", value)
	case len(value) == 0 || len(value) > 65536:
		return nil, refused("InvalidParameterException", "You must provide either SecretString or SecretBinary.")
	case exists && old != value:
		return nil, refused("ResourceExistsException", "You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, secretARN(name))
	}
	s.versions[token], s.current = value, token
	return map[string]any{"ARN": secretARN(name), "Name": name, "VersionId": token, "VersionStages": []string{"AWSCURRENT"}}, nil
}

func (s *fakeSecret) version(id string) (string, bool) {
	if s == nil {
		return "", false
	}
	value, ok := s.versions[id]
	return value, ok
}

func (c *cloud) putParameter(name string, overwrite bool, p fakeParameter) (any, *apiError) {
	const standard, advanced = 4096, 8192
	_, exists := c.parameters[name]
	switch {
	case exists && !overwrite:
		return nil, refused("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return nil, refused("ValidationException", "Parameter name must be a fully qualified name.")
	case p.Type != "String" && p.Type != "StringList" && p.Type != "SecureString":
		return nil, refused("ValidationException", "Value '%s' at 'type' failed to satisfy constraint", p.Type)
	case p.Tier == "Standard" && len(p.Value) > standard:
		return nil, refused("ValidationException", "Standard tier parameters support a maximum parameter value of 4096 characters.")
	case len(p.Value) > advanced:
		return nil, refused("ValidationException", "The parameter value exceeds the maximum limit of 8192 characters.")
	case p.Tier == "Intelligent-Tiering" && len(p.Value) > standard:
		p.Tier = "Advanced"
	case p.Tier == "Intelligent-Tiering" || p.Tier == "":
		p.Tier = "Standard"
	}
	c.parameters[name] = p
	return map[string]any{"Tier": p.Tier, "Version": 1}, nil
}

// config is for the SDK's clients.
func (c *cloud) config() aws.Config {
	in := c.kms.Config()
	in.BaseEndpoint = aws.String(c.url)
	return in
}
