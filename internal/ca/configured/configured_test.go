package configured_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keyturn/internal/ca/configured"
	"keyturn/internal/rotation"
)

var variables = []string{
	"CERTIFICATE_AUTHORITY", "CA_SECRET_ARN", "KMS_CA_KEY_ARN", "KMS_CA_CHAIN", "ACM_PCA_ARN", "ACM_PCA_TEMPLATE_ARN",
	"STEP_CA_URL", "STEP_CA_FINGERPRINT", "STEP_CA_PROVISIONER", "STEP_CA_SECRET_ARN", "MANUAL_CA_CHAIN",
}

// environment is a function's with these variables, and a Systems Manager.
func environment(t *testing.T, ssm http.HandlerFunc, set map[string]string) {
	t.Helper()
	server := httptest.NewServer(ssm)
	t.Cleanup(server.Close)
	for _, v := range variables {
		t.Setenv(v, "")
	}
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_ENDPOINT_URL": server.URL,
	} {
		t.Setenv(name, value)
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}

func none(http.ResponseWriter, *http.Request) { panic("nothing of AWS is asked") }

func TestACAThatIsNotConfiguredNamesTheStacksParameter(t *testing.T) {
	for _, c := range []struct {
		name      rotation.CertificateAuthority
		set       map[string]string
		parameter string
	}{
		{"local", nil, "LocalCaInRules"},
		{"kms", nil, "KmsCaKeyArn"},
		{"kms", map[string]string{"KMS_CA_KEY_ARN": "arn:aws:kms:eu-west-1:123456789012:key/1"}, "KmsCaChain"},
		{"acmpca", nil, "AcmPcaArn"},
		{"stepca", nil, "StepCaUrl"},
		{"stepca", map[string]string{"STEP_CA_URL": "https://ca.example.com"}, "StepCaSecretArn"},
		{"manual", nil, "ManualCaChain"},
		{"openssl", nil, "use local, kms, acmpca, stepca or manual"},
	} {
		t.Run(string(c.name)+" "+c.parameter, func(t *testing.T) {
			environment(t, none, c.set)
			_, err := configured.FromEnvironment().Get(t.Context(), c.name)
			if rotation.NameOf(err) != "CA.Misconfigured" || !strings.Contains(err.Error(), c.parameter) || !strings.Contains(err.Error(), string(c.name)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// parameterStore answers GetParameter as Systems Manager does; calls counts.
func parameterStore(t *testing.T, name, value, code string, calls *int) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		*calls++
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		var in struct{ Name string }
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" || json.Unmarshal(body, &in) != nil || in.Name != name {
			t.Errorf("%s %s", r.Header.Get("X-Amz-Target"), body)
		}
		if code != "" {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "says AWS"})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]string{"Name": in.Name, "Value": value}})
	}
}

func TestAChainThatCannotBeReadSaysWhy(t *testing.T) {
	for code, want := range map[string]struct{ name, says string }{
		"ParameterNotFound":     {"CA.Misconfigured", "ManualCaChain"},
		"AccessDeniedException": {"CA.Misconfigured", "ssm:GetParameter"},
		"InternalServerError":   {"CA.Unavailable", "InternalServerError"},
	} {
		t.Run(code, func(t *testing.T) {
			calls := 0
			environment(t, parameterStore(t, "/keyturn/chain", "", code, &calls), map[string]string{"MANUAL_CA_CHAIN": "/keyturn/chain"})
			_, err := configured.FromEnvironment().Get(t.Context(), rotation.AuthorityManual)
			if rotation.NameOf(err) != want.name || !strings.Contains(err.Error(), want.says) || !strings.Contains(err.Error(), "/keyturn/chain") {
				t.Errorf("got %v, want %s", err, want.name)
			}
		})
	}
}

// TestACAIsKeptForAWhileAndAFailureIsNot also asks by the stack's own choice.
func TestACAIsKeptForAWhileAndAFailureIsNot(t *testing.T) {
	w := newWorld(ecKey())
	calls, code := 0, "ParameterNotFound"
	environment(t, func(rw http.ResponseWriter, r *http.Request) {
		parameterStore(t, "/keyturn/chain", string(w.chain().PEM()), code, &calls)(rw, r)
	}, map[string]string{"MANUAL_CA_CHAIN": "/keyturn/chain", "CERTIFICATE_AUTHORITY": "manual"})
	all := configured.FromEnvironment()
	for range 2 {
		if _, err := all.Get(t.Context(), ""); err == nil {
			t.Fatal("there is no parameter")
		}
	}
	code = ""
	for range 3 {
		authority, err := all.Get(t.Context(), "")
		if err != nil || len(authority.Chain()) != 2 {
			t.Fatalf("got %v, %v", authority, err)
		}
	}
	if calls != 3 {
		t.Errorf("the parameter was read %d times, want twice in vain and once for good", calls)
	}
}
