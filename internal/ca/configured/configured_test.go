package configured

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyturn/internal/ca"
	"keyturn/internal/ca/acmpca/acmpcatest"
	"keyturn/internal/ca/kms"
	"keyturn/internal/ca/kms/kmstest"
	"keyturn/internal/ca/stepca/stepcatest"
	"keyturn/internal/rotation"
)

var variables = []string{
	"CERTIFICATE_AUTHORITY", "CA_SECRET_ARN", "KMS_CA_KEY_ARN", "KMS_CA_CHAIN", "ACM_PCA_ARN", "ACM_PCA_TEMPLATE_ARN",
	"STEP_CA_URL", "STEP_CA_FINGERPRINT", "STEP_CA_PROVISIONER", "STEP_CA_SECRET_ARN", "MANUAL_CA_CHAIN",
	"AWS_SESSION_TOKEN",
}

// environment is a function's with these variables, where AWS is cloud.
func environment(t *testing.T, cloud http.Handler, set map[string]string) {
	t.Helper()
	server := httptest.NewServer(cloud)
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

// cloud is AWS: a Systems Manager and a Secrets Manager with these values, and
// whatever else a test puts behind the prefix of X-Amz-Target.
type cloud struct {
	t          *testing.T
	parameters map[string]string
	secrets    map[string]string
	other      map[string]http.Handler
	fail       string   // the code that every parameter and secret is refused with
	calls      []string // targets
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	c.calls = append(c.calls, target)
	service, _, _ := strings.Cut(target, ".")
	if handler, ok := c.other[service]; ok {
		handler.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var in struct {
		Name     string
		SecretID string `json:"SecretId"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		c.t.Errorf("%s: %v", body, err)
	}
	var out any
	code := c.fail
	switch target {
	case "AmazonSSM.GetParameter":
		value, found := c.parameters[in.Name]
		out = map[string]any{"Parameter": map[string]string{"Name": in.Name, "Value": value}}
		if code == "" && !found {
			code = "ParameterNotFound"
		}
	case "secretsmanager.GetSecretValue":
		value, found := c.secrets[in.SecretID]
		out = map[string]string{"SecretString": value}
		if code == "" && !found {
			code = "ResourceNotFoundException"
		}
	default:
		c.t.Errorf("AWS is asked for %s: %s", target, body)
		code = "UnknownOperationException"
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"__type": code, "message": "says AWS"}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// TestEveryCAIsMadeAsTheStackDescribesIt also asks for it as the stack's own.
func TestEveryCAIsMadeAsTheStackDescribesIt(t *testing.T) {
	key := ecKey()
	w := newWorld(key)
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}))
	for _, name := range rotation.Authorities() {
		t.Run(string(name), func(t *testing.T) {
			aws := &cloud{t: t, parameters: map[string]string{"/keyturn/chain": string(w.chain().PEM())}, other: map[string]http.Handler{}}
			set, want := map[string]string{"CERTIFICATE_AUTHORITY": string(name)}, w.chain()
			switch name {
			case rotation.AuthorityLocal:
				aws.secrets = map[string]string{"arn:secret": string(must(json.Marshal(map[string]string{"key": keyPEM, "chain": string(w.chain().PEM())})))}
				set["CA_SECRET_ARN"] = "arn:secret"
			case rotation.AuthorityKMS:
				service := kmstest.New(t)
				set["KMS_CA_KEY_ARN"], set["KMS_CA_CHAIN"] = service.AddKey(types.KeySpecEccNistP256), "/keyturn/kms"
				ours := newWorld(must(kms.NewSigner(t.Context(), awskms.NewFromConfig(service.Config()), set["KMS_CA_KEY_ARN"])))
				aws.parameters["/keyturn/kms"], want = string(ours.chain().PEM()), ours.chain()
				aws.other["TrentService"] = service
				credentials(t, set, must(service.Config().Credentials.Retrieve(t.Context())).AccessKeyID)
			case rotation.AuthorityACMPCA:
				service := acmpcatest.New(t)
				set["ACM_PCA_ARN"] = service.AddCA(key, w.chain())
				aws.other["ACMPrivateCA"] = service
				credentials(t, set, must(service.Config().Credentials.Retrieve(t.Context())).AccessKeyID)
			case rotation.AuthorityStepCA:
				service := stepcatest.Start(stepcatest.Options{})
				t.Cleanup(service.Close)
				aws.secrets, want = map[string]string{"arn:step": string(service.KeySecret())}, service.Chain
				set["STEP_CA_URL"], set["STEP_CA_FINGERPRINT"] = service.URL, service.Fingerprint
				set["STEP_CA_PROVISIONER"], set["STEP_CA_SECRET_ARN"] = stepcatest.Provisioner, "arn:step"
			case rotation.AuthorityManual:
				set["MANUAL_CA_CHAIN"] = "/keyturn/chain"
			}
			environment(t, aws, set)
			for _, asked := range []rotation.CertificateAuthority{name, ""} {
				authority, err := FromEnvironment().Get(t.Context(), asked)
				if err != nil {
					t.Fatalf("asked for %q: %v", asked, err)
				}
				if got := authority.Chain().PEM(); string(got) != string(want.PEM()) {
					t.Errorf("asked for %q: another CA\n%s", asked, got)
				}
			}
		})
	}
}

// credentials are the function's, where a service takes only its own.
func credentials(t *testing.T, set map[string]string, id string) {
	t.Helper()
	if id == "" {
		t.Fatal("the service has no credentials")
	}
	set["AWS_ACCESS_KEY_ID"] = id
}

func TestACAThatIsNotConfiguredNamesTheStacksParameter(t *testing.T) {
	for _, c := range []struct {
		name      rotation.CertificateAuthority
		set       map[string]string
		parameter string
	}{
		{"local", nil, "LocalCaInRules"},
		{"kms", nil, "KmsCaKeyArn"},
		{"kms", map[string]string{"KMS_CA_KEY_ARN": "arn:aws:kms:eu-west-1:123456789012:key/1"}, "KmsCaChain"},
		{"kms", map[string]string{"KMS_CA_CHAIN": "/keyturn/chain"}, "KmsCaKeyArn"},
		{"acmpca", nil, "AcmPcaArn"},
		{"acmpca", map[string]string{"ACM_PCA_TEMPLATE_ARN": "arn:aws:acm-pca:::template/EndEntityCertificate/V1"}, "AcmPcaArn"},
		{"stepca", nil, "StepCaUrl"},
		{"stepca", map[string]string{"STEP_CA_URL": "https://ca.example.com", "STEP_CA_FINGERPRINT": "ab", "STEP_CA_PROVISIONER": "keyturn"}, "StepCaSecretArn"},
		{"manual", nil, "ManualCaChain"},
		{"openssl", nil, "use local, kms, acmpca, stepca or manual"},
	} {
		t.Run(string(c.name)+" "+c.parameter, func(t *testing.T) {
			aws := &cloud{t: t}
			environment(t, aws, c.set)
			check := func(asked rotation.CertificateAuthority) {
				_, err := FromEnvironment().Get(t.Context(), asked)
				if rotation.NameOf(err) != ca.NameMisconfigured || !strings.Contains(err.Error(), c.parameter) || !strings.Contains(err.Error(), string(c.name)) {
					t.Errorf("asked for %q: %v", asked, err)
				}
			}
			check(c.name)
			t.Setenv("CERTIFICATE_AUTHORITY", string(c.name))
			check("")
			if len(aws.calls) > 0 {
				t.Errorf("AWS is asked in vain: %v", aws.calls)
			}
		})
	}
}

// TestAStackWithoutAnyChoiceSaysSo: neither the policy nor the stack names a CA.
func TestAStackWithoutAnyChoiceSaysSo(t *testing.T) {
	environment(t, &cloud{t: t}, nil)
	_, err := FromEnvironment().Get(t.Context(), "")
	if rotation.NameOf(err) != ca.NameMisconfigured || !strings.Contains(err.Error(), "certificateAuthority") {
		t.Errorf("got %v", err)
	}
}

func TestAChainThatCannotBeReadSaysWhy(t *testing.T) {
	kmsKey := "arn:aws:kms:eu-west-1:123456789012:key/1"
	for _, of := range []struct {
		name      rotation.CertificateAuthority
		set       map[string]string
		parameter string
	}{
		{rotation.AuthorityManual, map[string]string{"MANUAL_CA_CHAIN": "/keyturn/chain"}, "ManualCaChain"},
		{rotation.AuthorityKMS, map[string]string{"KMS_CA_KEY_ARN": kmsKey, "KMS_CA_CHAIN": "/keyturn/chain"}, "KmsCaChain"},
	} {
		for code, want := range map[string]struct{ name, says string }{
			"ParameterNotFound":     {ca.NameMisconfigured, of.parameter},
			"AccessDeniedException": {ca.NameMisconfigured, "ssm:GetParameter"},
			"ThrottlingException":   {ca.NameUnavailable, "ThrottlingException"},
			"InternalServerError":   {ca.NameUnavailable, "InternalServerError"},
		} {
			t.Run(string(of.name)+" "+code, func(t *testing.T) {
				environment(t, &cloud{t: t, fail: code}, of.set)
				_, err := FromEnvironment().Get(t.Context(), of.name)
				if rotation.NameOf(err) != want.name || !strings.Contains(err.Error(), want.says) || !strings.Contains(err.Error(), "/keyturn/chain") {
					t.Errorf("got %s (%v), want %s", rotation.NameOf(err), err, want.name)
				}
				if strings.Contains(err.Error(), "hidden") {
					t.Errorf("the error has the credentials: %v", err)
				}
			})
		}
	}
	t.Run("no answer", func(t *testing.T) {
		environment(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), map[string]string{"MANUAL_CA_CHAIN": "/keyturn/chain"})
		if _, err := FromEnvironment().Get(t.Context(), rotation.AuthorityManual); rotation.NameOf(err) != ca.NameUnavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no certificates", func(t *testing.T) {
		environment(t, &cloud{t: t, parameters: map[string]string{"/keyturn/chain": "to be filled in"}}, map[string]string{"MANUAL_CA_CHAIN": "/keyturn/chain"})
		if _, err := FromEnvironment().Get(t.Context(), rotation.AuthorityManual); rotation.NameOf(err) != ca.NameMisconfigured {
			t.Errorf("got %v", err)
		}
	})
}

// manually has the CA of manual, with a clock, in a cloud whose parameter is w's.
func manually(t *testing.T, w world) (all *Authorities, aws *cloud, at *time.Time) {
	t.Helper()
	aws = &cloud{t: t, parameters: map[string]string{"/keyturn/chain": string(w.chain().PEM())}}
	environment(t, aws, map[string]string{"MANUAL_CA_CHAIN": "/keyturn/chain", "CERTIFICATE_AUTHORITY": "manual"})
	all, at = FromEnvironment(), new(clock())
	all.now = func() time.Time { return *at }
	return all, aws, at
}

func TestACAIsKeptForFiveMinutesAndThenMadeAnew(t *testing.T) {
	old, renewed := newWorld(ecKey()), newWorld(ecKey())
	all, aws, at := manually(t, old)
	start := *at
	for _, step := range []struct {
		after time.Duration
		want  world
		calls int
	}{
		{0, old, 1},
		{time.Minute, old, 1},
		{5*time.Minute - 1, old, 1},
		{5 * time.Minute, renewed, 2},
		{10*time.Minute - 1, renewed, 2},
		{10 * time.Minute, renewed, 3},
	} {
		*at = start.Add(step.after)
		// By both names it is the same one.
		for _, name := range []rotation.CertificateAuthority{"", rotation.AuthorityManual} {
			authority, err := all.Get(t.Context(), name)
			if err != nil || !authority.Chain()[0].Equal(step.want.issuing.cert) || len(aws.calls) != step.calls {
				t.Fatalf("after %s: %v, %v, %d calls, want %d", step.after, authority, err, len(aws.calls), step.calls)
			}
		}
		aws.parameters["/keyturn/chain"] = string(renewed.chain().PEM())
	}
}

func TestACAThatFailedIsMadeAgainAtTheNextCall(t *testing.T) {
	w := newWorld(ecKey())
	all, aws, at := manually(t, w)
	get := func(fail, want string) {
		t.Helper()
		aws.fail = fail
		authority, err := all.Get(t.Context(), "")
		if err == nil && want == "" && authority != nil {
			return
		}
		if rotation.NameOf(err) != want || authority != nil {
			t.Fatalf("got %v, %v, want %q", authority, err, want)
		}
	}
	get("ParameterNotFound", ca.NameMisconfigured)
	get("ThrottlingException", ca.NameUnavailable)
	get("", "")
	get("ParameterNotFound", "") // kept
	*at = at.Add(maxAge)
	// An old one is not used any longer than it should be.
	get("ThrottlingException", ca.NameUnavailable)
	get("", "")
	if len(aws.calls) != 5 {
		t.Errorf("AWS was asked %d times, want 5", len(aws.calls))
	}
}

func TestASecretThatCannotBeReadSaysWhy(t *testing.T) {
	for code, want := range map[string]string{
		"ResourceNotFoundException": "Credential.Missing",
		"AccessDeniedException":     "Secret.Denied",
	} {
		for name, set := range map[rotation.CertificateAuthority]map[string]string{
			rotation.AuthorityLocal:  {"CA_SECRET_ARN": "arn:secret"},
			rotation.AuthorityStepCA: {"STEP_CA_URL": "https://ca.example.com", "STEP_CA_FINGERPRINT": strings.Repeat("ab", 32), "STEP_CA_PROVISIONER": "keyturn", "STEP_CA_SECRET_ARN": "arn:secret"},
		} {
			t.Run(string(name)+" "+code, func(t *testing.T) {
				environment(t, &cloud{t: t, fail: code}, set)
				if _, err := FromEnvironment().Get(t.Context(), name); rotation.NameOf(err) != want || !strings.Contains(err.Error(), "arn:secret") {
					t.Errorf("got %s (%v), want %s", rotation.NameOf(err), err, want)
				}
			})
		}
	}
}

// TestAStepCAWithoutFingerprintOrProvisioner names what is empty.
func TestAStepCAWithoutFingerprintOrProvisioner(t *testing.T) {
	for field, set := range map[string]map[string]string{
		"StepCaFingerprint": {},
		"StepCaProvisioner": {"STEP_CA_FINGERPRINT": strings.Repeat("ab", 32)},
	} {
		aws := &cloud{t: t, secrets: map[string]string{"arn:step": `{"password": "` + rand.Text() + `"}`}}
		environment(t, aws, map[string]string{"STEP_CA_URL": "https://ca.example.com", "STEP_CA_SECRET_ARN": "arn:step"})
		for name, value := range set {
			t.Setenv(name, value)
		}
		_, err := FromEnvironment().Get(t.Context(), rotation.AuthorityStepCA)
		if rotation.NameOf(err) != ca.NameMisconfigured || !strings.Contains(err.Error(), field) {
			t.Errorf("without %s: %v", field, err)
		}
	}
}
