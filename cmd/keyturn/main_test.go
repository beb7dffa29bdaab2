package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"keyturn/internal/ca"
	"keyturn/internal/ca/kms"
	"keyturn/internal/ca/local"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// testdata is where the test was started; tests go elsewhere.
var testdata = must(filepath.Abs("testdata"))

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	caName     = "Example SAML Issuing CA"
	secretName = "keyturn/ca"
	parameter  = "/keyturn/ca"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// keyturn calls the command, which must never print a private key.
func keyturn(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr strings.Builder
	p := program{out: &stdout, errs: &stderr, now: func() time.Time { return now }}
	code = p.run(t.Context(), args)
	for _, text := range []string{stdout.String(), stderr.String()} {
		if strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "MII") || strings.Contains(text, "MIG") {
			t.Errorf("%q prints PEM:\n%s", args, text)
		}
		if strings.Contains(text, "security-token") {
			t.Errorf("%q prints AWS credentials:\n%s", args, text)
		}
	}
	return code, stdout.String(), stderr.String()
}

func succeeds(t *testing.T, args ...string) (out string) {
	t.Helper()
	code, out, errs := keyturn(t, args...)
	if code != 0 || errs != "" {
		t.Fatalf("%q: exit %d: %s", args, code, errs)
	}
	return out
}

func fails(t *testing.T, code int, message string, args ...string) {
	t.Helper()
	got, out, errs := keyturn(t, args...)
	if got != code || out != "" {
		t.Errorf("%q: exit %d, want %d, and %q", args, got, code, out)
	}
	if d := cmp.Diff("keyturn "+strings.Join(args[:2], " ")+": "+message, strings.TrimSuffix(errs, "\n")); d != "" {
		t.Errorf("%q (-want +got)\n%s", args, d)
	}
}

// hexadecimals are what is different each time.
var hexadecimals = regexp.MustCompile(`([0-9A-F]{2}:){7,}[0-9A-F]{2}`)

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join(testdata, name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; go test -update writes it anew)\n%s", file, d)
	}
}

// home is a folder to call the command in.
func home(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
}

func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		info := must(e.Info())
		list = append(list, e.Name()+" "+info.Mode().Perm().String())
	}
	return list
}

func read(t *testing.T, elements ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, content []byte, elements ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(elements...), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// root is the company's, which signs requests.
type root struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

var (
	theRoot = sync.OnceValue(func() root { return newRoot(nil) })
	oktaKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

func newRoot(change func(*x509.Certificate)) root {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example Root"}, SubjectKeyId: []byte{1},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if change != nil {
		change(c)
	}
	return root{key, must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))))}
}

// answers signs the request in a file and writes the answer: PEM, with the root.
func (r root) answers(t *testing.T, request, answer string, change func(*x509.Certificate)) {
	t.Helper()
	block, _ := pem.Decode(read(t, request))
	csr := must(x509.ParseCertificateRequest(block.Bytes))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(7), RawSubject: csr.RawSubject, NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId: []byte{2},
	}
	for _, e := range csr.Extensions {
		if e.Id.String() == "2.5.29.30" {
			c.ExtraExtensions = append(c.ExtraExtensions, e)
		}
	}
	if change != nil {
		change(c)
	}
	cert := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, r.cert, csr.PublicKey, r.key))))
	write(t, ca.Chain{cert, r.cert}.PEM(), answer)
}

// signs has a CA sign for an app and for an IdP, as a rotation does.
func signs(t *testing.T, authority ca.Authority, err error) ca.Chain {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Wiki SAML signing"}}, oktaKey()))
	for _, kind := range []string{ca.KindApp, ca.KindIDP} {
		r := ca.Request{CSR: csr, Kind: kind, ValidityDays: 397, Now: now}
		c, err := authority.Sign(t.Context(), r)
		if err == nil {
			err = ca.Check(c, r, authority)
		}
		if err != nil {
			t.Errorf("a certificate for an %s: %v", kind, err)
		}
	}
	return authority.Chain()
}

func signsLocally(t *testing.T, secretJSON []byte) ca.Chain {
	t.Helper()
	authority, err := local.New(secretJSON, rand.Reader)
	return signs(t, authority, err)
}

func signsInKMS(t *testing.T, c *cloud, key string, chain []byte) {
	t.Helper()
	authority, err := kms.New(t.Context(), awskms.NewFromConfig(c.config()), key, chain, rand.Reader)
	signs(t, authority, err)
}

func sameChain(t *testing.T, what string, want ca.Chain, got []byte) {
	t.Helper()
	if !bytes.Equal(want.PEM(), got) {
		t.Errorf("%s is not the CA's chain", what)
	}
}

func TestALocalCAInFiles(t *testing.T) {
	for _, key := range []string{"rsa-2048", "rsa-3072", "p256", "p384"} {
		t.Run(key, func(t *testing.T) {
			home(t)
			strangerToAWS(t)
			succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-key", key, "-years", "2", "-dir", "ca")
			if d := cmp.Diff([]string{"chain.pem -rw-r--r--", "secret.json -rw-------"}, files(t, "ca")); d != "" {
				t.Errorf("files (-want +got)\n%s", d)
			}
			if mode := must(os.Stat("ca")).Mode().Perm(); mode != 0o700 {
				t.Errorf("the folder is %s", mode)
			}
			chain := signsLocally(t, read(t, "ca", "secret.json"))
			sameChain(t, "chain.pem", chain, read(t, "ca", "chain.pem"))
			if got := chain[0].NotAfter; !got.Equal(now.AddDate(2, 0, 0)) {
				t.Errorf("it ends at %v", got)
			}
		})
	}
}

func TestALocalCAThatNeverTouchesTheDisk(t *testing.T) {
	for title, before := range map[string][]string{"no value yet": nil, "a value that was given up": {`{"key": "old"}`, " {} "}} {
		t.Run(title, func(t *testing.T) {
			home(t)
			c := newCloud(t)
			stored := c.addSecret(secretName, before...)
			succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-key", "p256", "-secret", secretName)
			signsLocally(t, []byte(stored.value()))
			if got := files(t, "."); len(got) > 0 {
				t.Errorf("files: %q", got)
			}
		})
	}
}

func TestALocalCAInTheSecretWithItsCertificateInAFile(t *testing.T) {
	home(t)
	c := newCloud(t)
	stored := c.addSecret(secretName)
	succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-key", "p256", "-secret", secretName, "-dir", "ca")
	chain := signsLocally(t, []byte(stored.value()))
	sameChain(t, "chain.pem", chain, read(t, "ca", "chain.pem"))
	if got := files(t, "ca"); len(got) != 1 {
		t.Errorf("files: %q", got)
	}
}

func TestALocalCAThatTheRootSigns(t *testing.T) {
	for _, test := range []struct {
		title          string
		init, accept   []string
		waiting, after []string
	}{
		{"in files", nil, nil,
			[]string{"key.pem -rw-------", "request.pem -rw-r--r--"},
			[]string{"chain.pem -rw-r--r--", "key.pem -rw-------", "request.pem -rw-r--r--", "secret.json -rw-------"}},
		{"in the secret", []string{"-secret", secretName}, []string{"-secret", secretName},
			[]string{"request.pem -rw-r--r--"},
			[]string{"chain.pem -rw-r--r--", "request.pem -rw-r--r--"}},
		{"from a file into the secret", nil, []string{"-secret", secretName},
			[]string{"key.pem -rw-------", "request.pem -rw-r--r--"},
			[]string{"chain.pem -rw-r--r--", "key.pem -rw-------", "request.pem -rw-r--r--"}},
	} {
		t.Run(test.title, func(t *testing.T) {
			home(t)
			c := newCloud(t)
			stored := c.addSecret(secretName)
			succeeds(t, append([]string{"ca", "init", "-provider", "local", "-name", caName, "-request", "-dir", "ca"}, test.init...)...)
			if d := cmp.Diff(test.waiting, files(t, "ca")); d != "" {
				t.Errorf("files of the request (-want +got)\n%s", d)
			}
			if _, err := local.New([]byte(stored.value()), rand.Reader); err == nil {
				t.Error("the secret is a CA already")
			}
			theRoot().answers(t, "ca/request.pem", "answer.pem", nil)
			succeeds(t, slices.Concat([]string{"ca", "accept", "-provider", "local", "-dir", "ca"}, test.accept, []string{"answer.pem"})...)
			if d := cmp.Diff(test.after, files(t, "ca")); d != "" {
				t.Errorf("files of the CA (-want +got)\n%s", d)
			}
			secretJSON := []byte(stored.value())
			if test.accept == nil {
				secretJSON = read(t, "ca", "secret.json")
			}
			chain := signsLocally(t, secretJSON)
			sameChain(t, "the answer", chain, read(t, "answer.pem"))
			sameChain(t, "chain.pem", chain, read(t, "ca", "chain.pem"))
		})
	}
}

func TestACAInKMS(t *testing.T) {
	for _, spec := range []kmstypes.KeySpec{kmstypes.KeySpecRsa2048, kmstypes.KeySpecEccNistP256, kmstypes.KeySpecEccNistP384} {
		for _, where := range [][]string{{"-dir", "ca"}, {"-parameter", parameter}, {"-dir", "ca", "-parameter", parameter}} {
			t.Run(string(spec)+strings.Join(where, " "), func(t *testing.T) {
				home(t)
				c := newCloud(t)
				key := c.kms.AddKey(spec)
				succeeds(t, append([]string{"ca", "init", "-provider", "kms", "-kms-key", key, "-name", caName}, where...)...)
				inKMS(t, c, key, where, nil)
			})
		}
	}
}

func TestACAInKMSThatTheRootSigns(t *testing.T) {
	for _, spec := range []kmstypes.KeySpec{kmstypes.KeySpecRsa2048, kmstypes.KeySpecEccNistP384} {
		for _, where := range [][]string{{"-dir", "ca"}, {"-dir", "ca", "-parameter", parameter}} {
			t.Run(string(spec)+strings.Join(where, " "), func(t *testing.T) {
				home(t)
				c := newCloud(t)
				key := c.kms.AddKey(spec)
				succeeds(t, "ca", "init", "-provider", "kms", "-kms-key", key, "-name", caName, "-request", "-dir", "ca")
				theRoot().answers(t, "ca/request.pem", "answer.pem", nil)
				succeeds(t, slices.Concat([]string{"ca", "accept", "-provider", "kms"}, where, []string{"answer.pem"})...)
				inKMS(t, c, key, where, []string{"request.pem"})
			})
		}
	}
}

// inKMS looks at what came of it: the chain where it was wanted, and nothing
// else anywhere.
func inKMS(t *testing.T, c *cloud, key string, where, leftOver []string) {
	t.Helper()
	want := leftOver
	stored := c.parameters[parameter]
	if slices.Contains(where, "-dir") {
		want = append([]string{"chain.pem"}, want...)
	}
	var got []string
	for _, file := range files(t, "ca") {
		name, mode, _ := strings.Cut(file, " ")
		got = append(got, name)
		if mode != "-rw-r--r--" {
			t.Errorf("%s is public, and has %s", name, mode)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("files (-want +got)\n%s", d)
	}
	if slices.Contains(where, "-parameter") {
		if stored.Type != "String" || stored.Tier != "Standard" {
			t.Errorf("the parameter is a %s of tier %s", stored.Type, stored.Tier)
		}
		signsInKMS(t, c, key, []byte(stored.Value))
	} else if stored.Value != "" {
		t.Error("a parameter was made")
	}
	if slices.Contains(where, "-dir") {
		signsInKMS(t, c, key, read(t, "ca", "chain.pem"))
	}
}

func TestALongChainTakesAnAdvancedParameter(t *testing.T) {
	home(t)
	c := newCloud(t)
	key := c.kms.AddKey(kmstypes.KeySpecEccNistP256)
	succeeds(t, "ca", "init", "-provider", "kms", "-kms-key", key, "-name", caName, "-request", "-dir", "ca")
	for i, test := range []struct {
		padding int
		code    int
		say     string
	}{
		{2500, 0, "more than 4 KB make it an advanced parameter, which AWS charges for"},
		{6000, 1, "and a parameter of SSM holds 8192"},
	} {
		r := newRoot(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, test.padding)}}
		})
		r.answers(t, "ca/request.pem", "answer.pem", nil)
		name := parameter + string(rune('0'+i))
		code, out, errs := keyturn(t, "ca", "accept", "-provider", "kms", "-dir", "ca", "-parameter", name, "answer.pem")
		if code != test.code || !strings.Contains(out+errs, test.say) {
			t.Errorf("%d bytes: exit %d, %s%s", test.padding, code, out, errs)
		}
		if test.code == 0 {
			signsInKMS(t, c, key, []byte(c.parameters[name].Value))
		} else if _, made := c.parameters[name]; made {
			t.Errorf("%s was made", name)
		}
	}
}

func TestAnswersInSeveralFilesInAnyOrder(t *testing.T) {
	home(t)
	strangerToAWS(t)
	succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-request", "-dir", "ca")
	theRoot().answers(t, "ca/request.pem", "answer.pem", nil)
	block, _ := pem.Decode(read(t, "answer.pem"))
	write(t, block.Bytes, "answer.cer")
	write(t, theRoot().cert.Raw, "root.cer")
	out := succeeds(t, "ca", "accept", "-provider", "local", "-dir", "ca", "root.cer", "answer.cer")
	if !strings.Contains(out, "mended: the answer's certificates were not in order") {
		t.Errorf("it does not say what was mended:\n%s", out)
	}
	sameChain(t, "the answer in order", signsLocally(t, read(t, "ca", "secret.json")), read(t, "answer.pem"))
}

func TestNothingIsOverwritten(t *testing.T) {
	const name = `the secret keyturn/ca`
	show := "(keyturn ca show -secret keyturn/ca)"
	for _, test := range []struct {
		title   string
		prepare func(*testing.T, *cloud)
		message string
		args    []string
	}{
		{"a secret with a CA", func(_ *testing.T, c *cloud) { c.addSecret(secretName, `{"key": "x", "chain": "y"}`) },
			name + " has a value, which is left as it is " + show + ": make another CA with -dir, and store it yourself",
			[]string{"-provider", "local", "-secret", secretName}},
		{"a secret with something else", func(_ *testing.T, c *cloud) { c.addSecret(secretName, "hunter2") },
			name + " has a value, which is left as it is " + show + ": make another CA with -dir, and store it yourself",
			[]string{"-provider", "local", "-secret", secretName}},
		{"a secret whose request waits", func(_ *testing.T, c *cloud) { c.addSecret(secretName, `{"key": "x"}`) },
			name + " holds a key whose request waits for the root's answer: bring that by keyturn ca accept; or, to give this key up, say so first: aws secretsmanager put-secret-value --secret-id keyturn/ca --secret-string '{}'",
			[]string{"-provider", "local", "-secret", secretName}},
		{"a secret that gets a value meanwhile", func(_ *testing.T, c *cloud) {
			c.addSecret(secretName)
			c.before = func(operation string) {
				if operation == "PutSecretValue" {
					// Somebody else's keyturn ca init was faster.
					c.before = nil
					must(0, c.race())
				}
			}
		},
			name + " has got another value meanwhile, which is left as it is: look at it " + show,
			[]string{"-provider", "local", "-secret", secretName, "-dir", "new"}},
		{"a parameter", func(_ *testing.T, c *cloud) { c.parameters[parameter] = fakeParameter{Value: "x"} },
			"the parameter /keyturn/ca exists, and is left as it is (keyturn ca show -parameter /keyturn/ca): use another name",
			[]string{"-provider", "kms", "-parameter", parameter, "-dir", "new"}},
		{"a certificate", func(t *testing.T, _ *cloud) { mkdir(t, "ca", 0o700); write(t, []byte("x"), "ca", "chain.pem") },
			"ca/chain.pem exists, and is left as it is: name another folder",
			[]string{"-provider", "local", "-dir", "ca"}},
		{"a secret's file", func(t *testing.T, _ *cloud) { mkdir(t, "ca", 0o700); write(t, []byte("x"), "ca", "secret.json") },
			"ca/secret.json exists, and is left as it is: name another folder",
			[]string{"-provider", "local", "-dir", "ca"}},
		{"a key", func(t *testing.T, _ *cloud) { mkdir(t, "ca", 0o700); write(t, []byte("x"), "ca", "key.pem") },
			"ca/key.pem exists, and is left as it is: name another folder",
			[]string{"-provider", "local", "-request", "-dir", "ca"}},
		{"what a link leads to", func(t *testing.T, _ *cloud) {
			mkdir(t, "ca", 0o700)
			must(0, os.Symlink("elsewhere", "ca/chain.pem"))
		},
			"ca/chain.pem exists, and is left as it is: name another folder",
			[]string{"-provider", "kms", "-dir", "ca"}},
		{"an open folder", func(t *testing.T, _ *cloud) { mkdir(t, "my ca", 0o755) },
			"the folder my ca is open to others (-rwxr-xr-x), and a private key is to go there: name one that does not exist yet, or close it (chmod 700 'my ca')",
			[]string{"-provider", "local", "-dir", "my ca"}},
		{"a file for a folder", func(t *testing.T, _ *cloud) { write(t, []byte("x"), "ca") },
			"ca/chain.pem cannot be written: not a directory",
			[]string{"-provider", "kms", "-dir", "ca"}},
		{"a folder in a folder that is missing", func(*testing.T, *cloud) {},
			"the folder no/ca cannot be made: no such file or directory",
			[]string{"-provider", "kms", "-dir", "no/ca"}},
	} {
		t.Run(test.title, func(t *testing.T) {
			home(t)
			c := newCloud(t)
			key := c.kms.AddKey(kmstypes.KeySpecEccNistP256)
			test.prepare(t, c)
			before := tree(t, c)
			args := append([]string{"ca", "init", "-name", caName}, test.args...)
			if slices.Contains(args, "kms") {
				args = append(args, "-kms-key", key)
			} else {
				args = append(args, "-key", "p256")
			}
			fails(t, 1, "error: "+test.message, args...)
			if d := cmp.Diff(before, tree(t, c)); d != "" && test.title != "a secret that gets a value meanwhile" {
				t.Errorf("it has changed something (-before +after)\n%s", d)
			}
			if left := files(t, "new"); len(left) > 0 {
				t.Errorf("it has left %q behind", left)
			}
		})
	}
}

// race stores a value under the id that comes next, whatever that is.
func (c *cloud) race() error {
	other, err := readSecret(context.Background(), c.config(), secretName)
	if err != nil {
		return err
	}
	return other.put(context.Background(), []byte(`{"key": "somebody else's"}`))
}

func mkdir(t *testing.T, dir string, mode fs.FileMode) {
	t.Helper()
	if err := os.Mkdir(dir, mode); err != nil {
		t.Fatal(err)
	}
}

// tree is all files, secrets and parameters.
func tree(t *testing.T, c *cloud) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(0, filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			all[path] = string(read(t, path))
		}
		return err
	}))
	for name, s := range c.secrets {
		all["secret "+name] = s.value()
	}
	for name, p := range c.parameters {
		all["parameter "+name] = p.Value
	}
	return all
}

func TestAcceptOverwritesNothing(t *testing.T) {
	home(t)
	c := newCloud(t)
	c.addSecret(secretName, `{"key": "x", "chain": "y"}`)
	c.parameters[parameter] = fakeParameter{Value: "x"}
	succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-request", "-dir", "ca")
	theRoot().answers(t, "ca/request.pem", "answer.pem", nil)
	before := tree(t, c)
	accept := func(message string, args ...string) {
		t.Helper()
		fails(t, 1, "error: "+message, slices.Concat([]string{"ca", "accept", "-dir", "ca"}, args, []string{"answer.pem"})...)
		if d := cmp.Diff(before, tree(t, c)); d != "" {
			t.Errorf("%q has changed something (-before +after)\n%s", args, d)
		}
	}
	accept("the secret keyturn/ca has a value, which is left as it is (keyturn ca show -secret keyturn/ca): make another CA with -dir, and store it yourself",
		"-provider", "local", "-secret", secretName)
	accept("the parameter /keyturn/ca exists, and is left as it is (keyturn ca show -parameter /keyturn/ca): use another name",
		"-provider", "kms", "-parameter", parameter)
	write(t, []byte("x"), "ca", "chain.pem")
	before = tree(t, c)
	accept("ca/chain.pem exists, and is left as it is: name another folder", "-provider", "local")
}

func TestAnswersAreRefused(t *testing.T) {
	home(t)
	c := newCloud(t)
	c.addSecret(secretName)
	succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-key", "p256", "-request", "-dir", "ca")
	succeeds(t, "ca", "init", "-provider", "local", "-name", "Other CA", "-key", "p256", "-request", "-dir", "other")
	r := theRoot()
	r.answers(t, "ca/request.pem", "good.pem", nil)
	r.answers(t, "other/request.pem", "other.pem", nil)
	r.answers(t, "ca/request.pem", "leaf.pem", func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false })
	r.answers(t, "ca/request.pem", "expired.pem", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1) })
	r.answers(t, "ca/request.pem", "soon.pem", func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, 80) })
	newRoot(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }).answers(t, "ca/request.pem", "narrow.pem", nil)
	newRoot(nil).answers(t, "ca/request.pem", "impostor.pem", nil)
	rootAlone := ca.Chain{r.cert}.PEM()
	write(t, bytes.TrimSuffix(read(t, "good.pem"), rootAlone), "alone.pem")
	write(t, rootAlone, "root.pem")
	before := tree(t, c)
	for _, test := range []struct{ message, dir, answer string }{
		{"answer is CN=Other CA; CN=Example Root: none of it is for the public key of the request; bring the certificate that the root made from this request, CN=Example SAML Issuing CA", "ca", "other.pem"},
		{"answer is CN=Example SAML Issuing CA: not a CA's certificate (basicConstraints); have the request signed as a subordinate CA's: basicConstraints CA:TRUE with pathlen 0, keyUsage keyCertSign and cRLSign, nameConstraints as in the request (OpenSSL takes them over with -copy_extensions copy)", "ca", "leaf.pem"},
		{"notAfter is 2026-02-28T12:00:00Z: it is over: CN=Example SAML Issuing CA; have the request signed by a CA whose certificates are valid", "ca", "expired.pem"},
		{"notAfter is 2026-05-20T12:00:00Z: 80 days are left of CN=Example SAML Issuing CA; Okta rejects certificates of 90 days or less, and none outlives its CA; have the request signed for longer, such as 10 years, by a CA that lasts longer", "ca", "soon.pem"},
		{"chain[1] is CN=Example Root: its pathlen allows 0 CAs below it, and there are 1; issue from a CA that is allowed to have certificates below it", "ca", "narrow.pem"},
		{"answer.issuer is CN=Example Root: its certificate is missing, so that the signature cannot be checked; give the file with the root's certificate too, and those of CAs in between", "ca", "alone.pem"},
		{"missing.pem cannot be read: no such file or directory", "ca", "missing.pem"},
		{"ca/request.pem: this is a certificate request (CSR): what the CA is asked to sign, and not what it has signed: give certificates in PEM or DER; from a .p7b, openssl pkcs7 -print_certs makes PEM (-inform DER unless it is text)", "ca", "ca/request.pem"},
		{"ca/key.pem: there is a private key in it, which is not asked for: name a file with certificates alone", "ca", "ca/key.pem"},
		{"no/request.pem cannot be read: no such file or directory; name the folder that keyturn ca init -request has made", "no", "good.pem"},
	} {
		fails(t, 1, "error: "+test.message, "ca", "accept", "-provider", "local", "-dir", test.dir, test.answer)
	}
	write(t, slices.Concat(read(t, "alone.pem"), ca.Chain{newRoot(nil).cert}.PEM()), "impostor.pem")
	if code, _, errs := keyturn(t, "ca", "accept", "-provider", "local", "-dir", "ca", "impostor.pem"); code != 1 || !strings.Contains(errs, "its certificate is there, but did not sign this one") {
		t.Errorf("a root of the same name: exit %d, %s", code, errs)
	}
	must(0, os.Rename("ca/key.pem", "key.pem"))
	fails(t, 1, "error: ca/key.pem does not exist: name the secret where the key waits (-secret), or the provider whose key it is (-provider kms)",
		"ca", "accept", "-provider", "local", "-dir", "ca", "good.pem")
	fails(t, 1, "error: the key is neither in the secret keyturn/ca nor in ca/key.pem: name the folder and the secret that keyturn ca init had",
		"ca", "accept", "-provider", "local", "-dir", "ca", "-secret", secretName, "good.pem")
	must(0, os.Rename("other/key.pem", "ca/key.pem"))
	fails(t, 1, "error: chain[0] is CN=Example SAML Issuing CA: not the certificate of the CA's key; put the issuing CA's certificate first, and configure the key that belongs to it",
		"ca", "accept", "-provider", "local", "-dir", "ca", "good.pem")
	must(0, os.Rename("ca/key.pem", "other/key.pem"))
	must(0, os.Rename("key.pem", "ca/key.pem"))
	must(0, os.Remove("impostor.pem"))
	delete(before, "impostor.pem")
	if d := cmp.Diff(before, tree(t, c)); d != "" {
		t.Errorf("something has changed (-before +after)\n%s", d)
	}
}

func TestWhatTheRootHasLeftOutIsTold(t *testing.T) {
	home(t)
	strangerToAWS(t)
	succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-request", "-dir", "ca")
	theRoot().answers(t, "ca/request.pem", "answer.pem", func(c *x509.Certificate) {
		c.ExtraExtensions, c.MaxPathLenZero, c.MaxPathLen = nil, false, -1
		c.NotAfter = now.AddDate(0, 0, 300)
	})
	out := succeeds(t, "ca", "accept", "-provider", "local", "-dir", "ca", "answer.pem")
	golden(t, "accept-warnings.txt", hexadecimals.ReplaceAllString(out, "{hex}"))
}

func TestCallsThatSayTooLittleOrTooMuch(t *testing.T) {
	home(t)
	strangerToAWS(t)
	const key = "arn:aws:kms:eu-west-1:123456789012:key/1"
	inFiles := func(args ...string) []string {
		return append([]string{"init", "-provider", "local", "-name", caName, "-dir", "ca"}, args...)
	}
	inKMS := func(args ...string) []string {
		return append([]string{"init", "-provider", "kms", "-name", caName, "-kms-key", key}, args...)
	}
	for _, test := range []struct {
		message string
		args    []string
	}{
		{"-provider is missing: local for a key in Secrets Manager, kms for a key in AWS KMS", []string{"init"}},
		{`-provider is "acmpca": use local or kms; the other providers have CAs of their own`, []string{"init", "-provider", "acmpca"}},
		{`-name: it is empty; name the CA, such as "Example SAML Issuing CA"`, []string{"init", "-provider", "local", "-dir", "ca"}},
		{`-name is "` + strings.Repeat("x", 65) + `": 65 characters, more than a certificate can hold; use 64 at most`, inFiles("-name", strings.Repeat("x", 65))},
		{`-country is "USA": not a country's code; use the two capitals of ISO 3166-1, such as US`, inFiles("-country", "USA")},
		{`-permit-dns is "*.example.com": not a domain; use one such as example.com, which stands for its subdomains too: lower case, no *, no dot at either end`, inFiles("-permit-dns", "example.net, *.example.com")},
		{"-years is 0: use 1 to 30", inFiles("-years", "0")},
		{"-years is 31: use 1 to 30", inFiles("-years", "31")},
		{`invalid value "ten" for flag -years: parse error`, inFiles("-years", "ten")},
		{"-years does not go with -request: the root decides how long the CA lives", inFiles("-years", "10", "-request")},
		{`-key is "rsa-1024": use rsa-2048, rsa-3072, p256, p384`, inFiles("-key", "rsa-1024")},
		{"-secret or -dir is missing: where to put the key and its certificate", []string{"init", "-provider", "local", "-name", caName}},
		{"-dir is missing: the request is written there", []string{"init", "-provider", "local", "-name", caName, "-request", "-secret", secretName}},
		{"-kms-key is not for the provider local: leave it out", inFiles("-kms-key", key)},
		{"-parameter is not for the provider local: leave it out", inFiles("-parameter", parameter)},
		{"-key is not for the provider kms: leave it out", inKMS("-key", "p256")},
		{"-secret is not for the provider kms: leave it out", inKMS("-secret", secretName)},
		{"-kms-key is missing: give the ARN of an asymmetric KMS key for signing", []string{"init", "-provider", "kms", "-name", caName, "-dir", "ca"}},
		{"-parameter or -dir is missing: where to put the certificate", inKMS()},
		{"-parameter does not go with -request: give it to keyturn ca accept, which has something to put there", inKMS("-request", "-dir", "ca", "-parameter", parameter)},
		{`"ca" is too much`, inFiles("-request", "ca")},
		{"flag provided but not defined: -force", inFiles("-force")},
		{"-provider is missing: local for a key in Secrets Manager, kms for a key in AWS KMS", []string{"accept", "-dir", "ca", "answer.pem"}},
		{"-dir is missing: the folder that keyturn ca init -request has made", []string{"accept", "-provider", "local", "answer.pem"}},
		{"the root's answer is missing: name the file with it, and those with the certificates above it", []string{"accept", "-provider", "local", "-dir", "ca"}},
		{"-dir stands after answer.pem: give the flags first", []string{"accept", "-provider", "local", "answer.pem", "-dir", "ca"}},
		{"give one thing to show: a file, -secret or -parameter", []string{"show"}},
		{"give one thing to show: a file, -secret or -parameter", []string{"show", "-secret", secretName, "ca/chain.pem"}},
		{"give one thing to show: a file, -secret or -parameter", []string{"show", "-secret", secretName, "-parameter", parameter}},
		{"-validity-days is 90: use more than 90, as the policy does, and at most 3650", []string{"show", "-validity-days", "90", "ca/chain.pem"}},
	} {
		args := append([]string{"ca"}, test.args...)
		fails(t, 2, test.message+"\nkeyturn ca "+args[1]+" -h says how it is called.", args...)
	}
	if got := files(t, "."); len(got) > 0 {
		t.Errorf("files: %q", got)
	}
}

func TestErrorsOfAWSAreSaidWithoutSecrets(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:123456789012:key/99999999-0000-4000-8000-000000000000"
	local := []string{"-provider", "local", "-key", "p256", "-secret", secretName, "-dir", "ca"}
	for _, test := range []struct {
		title   string
		prepare func(*cloud)
		message string
		args    []string
	}{
		{"no secret", func(*cloud) {},
			"the secret keyturn/ca does not exist in eu-west-1: deploy the stack first, which makes it ({stack name}/ca), or use -dir", local},
		{"a deleted secret", func(c *cloud) { c.addSecret(secretName).deleted = true },
			"the secret keyturn/ca is about to be deleted: restore it first (aws secretsmanager restore-secret --secret-id keyturn/ca)", local},
		{"may not look", func(c *cloud) { c.fail["DescribeSecret"] = "AccessDeniedException" },
			"the secret keyturn/ca cannot be looked at: secretsmanager:DescribeSecret ended with AccessDeniedException: User: arn:aws:iam::123456789012:user/ops is not authorized to perform this", local},
		{"may not read", func(c *cloud) { c.addSecret(secretName, "{}"); c.fail["GetSecretValue"] = "DecryptionFailure" },
			"the secret keyturn/ca cannot be read: secretsmanager:GetSecretValue ended with DecryptionFailure", local},
		{"may not write", func(c *cloud) { c.addSecret(secretName); c.fail["PutSecretValue"] = "AccessDeniedException" },
			"the secret keyturn/ca was not written: secretsmanager:PutSecretValue ended with AccessDeniedException: User: arn:aws:iam::123456789012:user/ops is not authorized to perform this", local},
		{"may not write the key of a request", func(c *cloud) { c.addSecret(secretName); c.fail["PutSecretValue"] = "InternalServiceError" },
			"the secret keyturn/ca was not written: secretsmanager:PutSecretValue ended with InternalServiceError", append([]string{"-request"}, local...)},
		{"an error that quotes", func(c *cloud) { c.addSecret(secretName); c.fail["PutSecretValue"] = "ValidationException" },
			"the secret keyturn/ca was not written: secretsmanager:PutSecretValue ended with ValidationException", local},
		{"no answer", func(c *cloud) { c.addSecret(secretName); c.fail["PutSecretValue"] = "no answer" },
			"the secret keyturn/ca was not written: secretsmanager:PutSecretValue got no answer", local},
		{"a wrong signature", func(c *cloud) { c.fail["PutParameter"] = "InvalidSignatureException" },
			"the parameter /keyturn/ca was not made: ssm:PutParameter ended with InvalidSignatureException", []string{"-provider", "kms", "-parameter", parameter, "-dir", "ca"}},
		{"a wrong name of a parameter", func(*cloud) {},
			"the parameter keyturn/ca was not made: ssm:PutParameter ended with ValidationException: Parameter name must be a fully qualified name.", []string{"-provider", "kms", "-parameter", "keyturn/ca", "-dir", "ca"}},
		{"no key", func(*cloud) {},
			"kmsKey is " + key + ": kms:GetPublicKey ended with NotFoundException; configure the ARN of a key that exists", []string{"-provider", "kms", "-kms-key", key, "-dir", "ca"}},
		{"an alias", func(*cloud) {},
			"kmsKey is alias/ca: not the ARN of a KMS key; configure the key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias will not do", []string{"-provider", "kms", "-kms-key", "alias/ca", "-dir", "ca"}},
	} {
		t.Run(test.title, func(t *testing.T) {
			home(t)
			c := newCloud(t)
			test.prepare(c)
			args := append([]string{"ca", "init", "-name", caName}, test.args...)
			if slices.Contains(args, "kms") && !slices.Contains(args, "-kms-key") {
				args = append(args, "-kms-key", c.kms.AddKey(kmstypes.KeySpecEccNistP256))
			}
			fails(t, 1, "error: "+test.message, args...)
			if got := files(t, "."); len(got) > 0 {
				t.Errorf("files: %q", got)
			}
		})
	}
}

func TestWhoeverHasNotSignedInIsToldSo(t *testing.T) {
	home(t)
	strangerToAWS(t)
	args := []string{"ca", "show", "-secret", secretName}
	fails(t, 1, "error: no AWS region: set AWS_REGION, or AWS_PROFILE to a profile that has one", args...)
	t.Setenv("AWS_REGION", "eu-west-1")
	code, _, errs := keyturn(t, args...)
	if code != 1 || !strings.HasPrefix(errs, "keyturn ca show: error: no AWS credentials: ") || !strings.Contains(errs, "aws sso login") {
		t.Errorf("no credentials: exit %d, %s", code, errs)
	}
	t.Setenv("AWS_PROFILE", "nobody")
	code, _, errs = keyturn(t, args...)
	if code != 1 || !strings.Contains(errs, "nobody") {
		t.Errorf("an unknown profile: exit %d, %s", code, errs)
	}
}

func TestHelp(t *testing.T) {
	for name, args := range map[string][]string{
		"help.txt": {"-h"}, "help-init.txt": {"ca", "init", "-h"}, "help-accept.txt": {"ca", "accept", "--help"}, "help-show.txt": {"ca", "show", "-help"},
	} {
		golden(t, name, succeeds(t, args...))
	}
	top := string(read(t, testdata, "help.txt"))
	for _, args := range [][]string{{"help"}, {"ca", "help"}, {"ca", "-h"}, {"--help"}} {
		if got := succeeds(t, args...); got != top {
			t.Errorf("%q prints something else", args)
		}
	}
	for _, args := range [][]string{nil, {"ca"}, {"init"}, {"ca", "renew"}, {"ca", "init2", "-name", "x"}} {
		if code, out, errs := keyturn(t, args...); code != 2 || out != "" || errs != top {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	p := program{out: &bytes.Buffer{}, errs: &bytes.Buffer{}, now: time.Now}
	for name, c := range p.commands() {
		flags := flag.NewFlagSet(name, flag.ContinueOnError)
		flags.SetOutput(&bytes.Buffer{})
		_ = c.do(t.Context(), flags, []string{"-h"})
		named := map[string]bool{}
		for _, found := range regexp.MustCompile(`(?m)^  -([a-z-]+) `).FindAllStringSubmatch(c.help, -1) {
			named[found[1]] = true
		}
		has := map[string]bool{}
		flags.VisitAll(func(f *flag.Flag) { has[f.Name] = true })
		if d := cmp.Diff(slices.Sorted(maps.Keys(has)), slices.Sorted(maps.Keys(named))); d != "" {
			t.Errorf("%s (-flags +help)\n%s", name, d)
		}
	}
}

// The folder testdata/show has chains that were made once, so that what is
// printed about them can be compared letter by letter.
func TestShow(t *testing.T) {
	for _, test := range []struct {
		name string
		code int
		args []string
	}{
		{"self-signed", 0, nil},
		{"under-a-root", 0, nil},
		{"too-soon", 0, []string{"-validity-days", "730"}},
		{"unusable", 1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join("testdata", "show", test.name+".pem")
			code, out, errs := keyturn(t, slices.Concat([]string{"ca", "show"}, test.args, []string{file})...)
			if code != test.code || errs != "" {
				t.Errorf("exit %d: %s", code, errs)
			}
			golden(t, "show/"+test.name+".txt", out)
		})
	}
}

func TestShowIsTheSameFromWhereverItComes(t *testing.T) {
	home(t)
	c := newCloud(t)
	stored := c.addSecret(secretName)
	succeeds(t, "ca", "init", "-provider", "local", "-name", caName, "-key", "p256", "-secret", secretName, "-dir", "ca")
	c.parameters[parameter] = fakeParameter{Value: string(read(t, "ca", "chain.pem"))}
	write(t, []byte(stored.value()), "secret.json")
	block, _ := pem.Decode(read(t, "ca", "chain.pem"))
	write(t, block.Bytes, "ca.cer")
	want := succeeds(t, "ca", "show", "ca/chain.pem")
	for _, from := range [][]string{{"-secret", secretName}, {"-parameter", parameter}, {"secret.json"}, {"ca.cer"}} {
		if d := cmp.Diff(want, succeeds(t, append([]string{"ca", "show"}, from...)...)); d != "" {
			t.Errorf("%q (-chain.pem +this)\n%s", from, d)
		}
	}
}

func TestThereIsNothingToShow(t *testing.T) {
	home(t)
	c := newCloud(t)
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(oktaKey()))}))
	c.addSecret("empty/ca")
	c.addSecret("given-up/ca", "{}")
	c.addSecret("waiting/ca", string(must(json.Marshal(map[string]string{"key": key}))))
	c.addSecret("okta", `{"apiToken": "hunter2"}`)
	c.parameters["/other"] = fakeParameter{Value: "hunter2"}
	write(t, []byte(key), "key.pem")
	for _, test := range []struct {
		message string
		args    []string
	}{
		{"the secret empty/ca has no CA yet: make one with keyturn ca init", []string{"-secret", "empty/ca"}},
		{"the secret given-up/ca has no CA yet: make one with keyturn ca init", []string{"-secret", "given-up/ca"}},
		{"the secret waiting/ca has a key, whose request waits for the root's answer: bring it with keyturn ca accept", []string{"-secret", "waiting/ca"}},
		{"the secret missing/ca does not exist in eu-west-1: deploy the stack first, which makes it ({stack name}/ca), or use -dir", []string{"-secret", "missing/ca"}},
		{"the parameter /missing does not exist in eu-west-1: make it with keyturn ca init -provider kms", []string{"-parameter", "/missing"}},
		{"the parameter /other: this is not a certificate, or not one in a known form: give certificates in PEM or DER; from a .p7b, openssl pkcs7 -print_certs makes PEM (-inform DER unless it is text)", []string{"-parameter", "/other"}},
		{"missing.pem cannot be read: no such file or directory", []string{"missing.pem"}},
		{"key.pem: there is a private key in it, which is not asked for: name a file with certificates alone", []string{"key.pem"}},
	} {
		fails(t, 1, "error: "+test.message, append([]string{"ca", "show"}, test.args...)...)
	}
	if code, out, errs := keyturn(t, "ca", "show", "-secret", "okta"); code != 1 || strings.Contains(out+errs, "hunter2") {
		t.Errorf("another secret: exit %d, %s%s", code, out, errs)
	}
}

// What people see on the way, step by step.
func TestTheWholeWay(t *testing.T) {
	for _, test := range []struct {
		name string
		args [][]string
	}{
		{"local-files", [][]string{{"init", "-provider", "local", "-organization", "Example, Inc.", "-country", "US", "-permit-dns", "example.com,example.net", "-dir", "ca"}}},
		{"local-secret", [][]string{{"init", "-provider", "local", "-key", "p384", "-years", "1", "-secret", secretName}}},
		{"local-request", [][]string{{"init", "-provider", "local", "-request", "-dir", "ca"}, {"accept", "-provider", "local", "-dir", "ca", "answer.pem"}}},
		{"local-request-secret", [][]string{{"init", "-provider", "local", "-request", "-dir", "ca", "-secret", secretName}, {"accept", "-provider", "local", "-dir", "ca", "-secret", secretName, "answer.pem"}}},
		{"kms-files", [][]string{{"init", "-provider", "kms", "-dir", "ca"}}},
		{"kms-parameter", [][]string{{"init", "-provider", "kms", "-parameter", parameter}}},
		{"kms-request", [][]string{{"init", "-provider", "kms", "-request", "-dir", "ca"}, {"accept", "-provider", "kms", "-dir", "ca", "-parameter", parameter, "answer.pem"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var all strings.Builder
			home(t)
			c := newCloud(t)
			c.addSecret(secretName)
			key := c.kms.AddKey(kmstypes.KeySpecEccNistP256)
			for _, args := range test.args {
				args = append([]string{"ca"}, args...)
				if args[1] == "init" {
					args = append(args, "-name", caName)
					if slices.Contains(args, "kms") {
						args = append(args, "-kms-key", key)
					}
				} else {
					theRoot().answers(t, "ca/request.pem", "answer.pem", nil)
				}
				all.WriteString("$ keyturn")
				for _, arg := range args {
					all.WriteString(" " + quoted(arg))
				}
				all.WriteString("\n" + hexadecimals.ReplaceAllString(succeeds(t, args...), "{hex}") + "\n")
			}
			golden(t, test.name+".txt", all.String())
		})
	}
}
