// Package localca runs a step-ca on this machine, for tests and the demo: the
// real program, built from source (tools/stepca), with a CA that is made for
// the occasion without smallstep's command line client.
//
// It listens on the loopback interface only, keeps everything in one folder,
// and ends with the process that started it, however that ends.
package localca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"keyturn/internal/ca"
	"keyturn/internal/ca/local"
	"keyturn/internal/ca/stepca"
)

const (
	// startTimeout is what step-ca gets to answer; it takes a fraction of a
	// second.
	startTimeout = 30 * time.Second
	// tries is how often step-ca is started anew because a port that was free a
	// moment ago is somebody else's by now.
	tries = 3
)

// StepCA is a running step-ca.
type StepCA struct {
	URL         string // https://127.0.0.1:port
	Fingerprint string // SHA-256 of the root, in hex

	// Provisioner is set up as package stepca wants it, for up to 9528 hours.
	Provisioner string
	// Untemplated is a provisioner with step-ca's default template, ShortLived
	// one with its default duration, a day.
	Untemplated, ShortLived string
	// Password opens the keys of all of them.
	Password string
	// PrivateKey is Provisioner's: a JWK.
	PrivateKey []byte

	dir  string
	end  func() // ends the program and waits for it
	stop sync.Once
}

// Build returns the path of step-ca in Go's build cache, and builds it where it
// is not there, which takes about a minute. projectRoot is the folder of the
// root module's go.mod.
func Build(ctx context.Context, projectRoot string) (binary string, err error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "step-ca")
	cmd.Dir = filepath.Join(projectRoot, "tools", "stepca")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("localca: step-ca cannot be built: `cd %s && CGO_ENABLED=0 go tool -n step-ca`: %w\n%s",
			cmd.Dir, err, bytes.TrimSpace(errs.Bytes()))
	}
	return string(bytes.TrimSpace(out)), nil
}

// Start makes a CA in dir, an empty folder, and runs binary with it. ctx bounds
// the start only: the CA runs until Stop, or until this process ends. The CA's
// certificates are valid for ten years.
func Start(ctx context.Context, binary, dir string) (*StepCA, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	s := &StepCA{
		Provisioner: "keyturn", Untemplated: "untemplated", ShortLived: "short-lived",
		Password: rand.Text(), dir: dir, end: func() {},
	}
	roots, err := s.makeCA()
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	provisioners, err := s.makeProvisioners()
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	for range tries {
		if err = s.run(ctx, binary, provisioners, roots); err == nil {
			return s, nil
		}
		s.end()
		if !strings.Contains(s.log(), "address already in use") {
			break
		}
	}
	return nil, fmt.Errorf("localca: step-ca does not start: %w; its log:\n%s", err, s.log())
}

// Stop ends the CA. What is in its folder stays.
func (s *StepCA) Stop() { s.stop.Do(func() { s.end() }) }

func (s *StepCA) path(name string) string { return filepath.Join(s.dir, name) }

func (s *StepCA) log() string {
	text, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text))
}

// makeCA writes root, intermediate and the intermediate's key.
func (s *StepCA) makeCA() (roots *x509.CertPool, err error) {
	secret, root, err := local.Generate("Example step-ca", time.Now(), 10, rand.Reader)
	if err != nil {
		return nil, err
	}
	var issuing struct {
		Key   string `json:"key"`
		Chain string `json:"chain"`
	}
	if err := json.Unmarshal(secret, &issuing); err != nil {
		return nil, err
	}
	chain, err := ca.ParseChain([]byte(issuing.Chain))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(root.Raw)
	s.Fingerprint = hex.EncodeToString(sum[:])
	for name, content := range map[string][]byte{
		"root_ca.crt":         ca.Chain{root}.PEM(),
		"intermediate_ca.crt": chain[:1].PEM(),
		"intermediate_ca.key": []byte(issuing.Key),
		"keyturn.tpl":         []byte(stepca.Template),
	} {
		if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	roots = x509.NewCertPool()
	roots.AddCert(root)
	return roots, nil
}

type object = map[string]any

// makeProvisioners returns them as ca.json lists them.
func (s *StepCA) makeProvisioners() ([]object, error) {
	template := object{"x509": object{"templateFile": s.path("keyturn.tpl")}}
	long := object{"maxTLSCertDuration": "9528h", "disableRenewal": true}
	provisioners := []object{
		{"name": s.Untemplated, "claims": long},
		{"name": s.ShortLived, "options": template},
		{"name": s.Provisioner, "claims": long, "options": template},
	}
	for _, p := range provisioners {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		key := jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256), Use: "sig"}
		id, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, err
		}
		key.KeyID = base64.RawURLEncoding.EncodeToString(id)
		encrypted, err := encrypt(key, s.Password)
		if err != nil {
			return nil, err
		}
		p["type"], p["key"], p["encryptedKey"] = "JWK", key.Public(), encrypted
		if p["name"] == s.Provisioner {
			if s.PrivateKey, err = json.Marshal(key); err != nil {
				return nil, err
			}
		}
	}
	return provisioners, nil
}

// encrypt does as step-ca's own client, with as many iterations.
func encrypt(key jose.JSONWebKey, password string) (string, error) {
	text, err := json.Marshal(key)
	if err != nil {
		return "", err
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{
		Algorithm: jose.PBES2_HS256_A128KW, Key: []byte(password), PBES2Count: 600_000,
	}, new(jose.EncrypterOptions).WithContentType("jwk+json"))
	if err != nil {
		return "", err
	}
	jwe, err := encrypter.Encrypt(text)
	if err != nil {
		return "", err
	}
	return jwe.CompactSerialize()
}

// watch runs its arguments until they end or standard input closes, as it does
// when this process ends in whatever way. There is nothing in the CA that an
// orderly end would save.
const watch = `
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
{ cat <&3 >/dev/null; kill -KILL "$child" 2>/dev/null; } &
exec 3<&-
wait "$child"
`

func (s *StepCA) run(ctx context.Context, binary string, provisioners []object, roots *x509.CertPool) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	s.URL = "https://" + address
	config, err := json.Marshal(object{
		"root": s.path("root_ca.crt"), "crt": s.path("intermediate_ca.crt"), "key": s.path("intermediate_ca.key"),
		"address": address, "dnsNames": []string{"127.0.0.1", "localhost"},
		"db":        object{"type": "bbolt", "dataSource": s.path("db")},
		"authority": object{"provisioners": provisioners},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("ca.json"), config, 0o600); err != nil {
		return err
	}
	log, err := os.Create(s.path("log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// Not CommandContext: ctx bounds the start only.
	cmd := exec.Command("sh", "-c", watch, "sh", binary, s.path("ca.json")) //nolint:gosec,noctx // G204: the program is the caller's; see above
	cmd.Env = []string{"HOME=" + s.dir, "STEPPATH=" + s.dir, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	alive, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // whether it was killed or failed: the log says
		close(ended)
	}()
	s.end = func() {
		_ = alive.Close()
		<-ended
	}
	return s.untilHealthy(ctx, roots, ended)
}

func (s *StepCA) untilHealthy(ctx context.Context, roots *x509.CertPool, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := healthy(ctx, client, s.URL)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it has exited")
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-again.C:
		}
	}
}

func healthy(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return errors.New("GET /health: " + strconv.Itoa(res.StatusCode))
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listens at once
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
