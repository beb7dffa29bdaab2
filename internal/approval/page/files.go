package page

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"mime"
	"net/http"
	"strconv"

	"keyturn/internal/approval"
	"keyturn/internal/rotation"
)

// serve gives a download: the certificate in one of its forms, the chain, or
// the metadata, which costs one call of Okta; or the CSR while there is no
// certificate. It is there as long as the
// rotation asks, whichever of its links is used.
func (v *visit) serve(ctx context.Context, file string) {
	in := v.progress.Asking
	if in == nil || v.progress.Result != "" {
		show(v.w, http.StatusGone, over(v.claim, v.progress, v.now))
		return
	}
	if in.Stage == rotation.StageCertificate {
		v.request(*in, file)
		return
	}
	der, err := base64.StdEncoding.DecodeString(in.NewKey.Certificate)
	if err != nil {
		v.page.Log.Error("certificate", "target", in.Target.String(), "kid", in.NewKey.Kid)
		show(v.w, http.StatusServiceUnavailable, unavailable)
		return
	}
	switch file {
	case filePEM:
		v.send(*in, ".pem", "application/x-pem-file", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	case fileDER:
		v.send(*in, ".cer", "application/pkix-cert", der)
	case fileChain:
		if in.Chain == "" {
			show(v.w, http.StatusNotFound, noFile)
			return
		}
		v.send(*in, "-chain.pem", "application/x-pem-file", []byte(in.Chain))
	case fileMetadata:
		v.metadata(ctx, *in)
	default:
		show(v.w, http.StatusNotFound, noFile)
	}
}

// request gives the CSR in one of its forms.
func (v *visit) request(in rotation.RequestUploadInput, file string) {
	csr, err := approval.ReadCSR(in.CSR)
	if err != nil {
		v.page.Log.Error("request", "target", in.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
		show(v.w, http.StatusServiceUnavailable, unavailable)
		return
	}
	name := approval.RequestFileName(in.Target, csr)
	switch file {
	case fileCSR:
		v.sendAs(name+".csr", "application/x-pem-file", []byte(csr.PEM()))
	case fileCSRDER:
		v.sendAs(name+".p10", "application/pkcs10", csr.DER)
	default:
		show(v.w, http.StatusNotFound, noFile)
	}
}

// metadataType is what SAML 2.0 metadata is served as (SAML bindings, appendix
// on its registration).
const metadataType = "application/samlmetadata+xml"

func (v *visit) metadata(ctx context.Context, in rotation.RequestUploadInput) {
	if !(ask{In: in}).hasMetadata() {
		show(v.w, http.StatusNotFound, noFile)
		return
	}
	// Each reading is a call of Okta, from the quota that everything shares. A
	// HEAD, as scanners send it, gets none.
	if v.r.Method == http.MethodHead {
		v.w.Header().Set("Content-Type", metadataType)
		return
	}
	if !v.page.limiter.allow("metadata "+v.link, metadataPerMinute, v.now) {
		v.page.tooMany(v.w)
		return
	}
	metadata, err := v.page.Metadata.Read(ctx, in.Target, in.NewKey.Kid)
	if err != nil {
		v.page.Log.Error("metadata", "target", in.Target.String(), "error", rotation.NameOf(err), "message", err.Error())
		show(v.w, http.StatusServiceUnavailable, oktaUnreachable)
		return
	}
	v.send(in, "-metadata.xml", metadataType, metadata)
}

func (v *visit) send(in rotation.RequestUploadInput, ending, kind string, content []byte) {
	v.sendAs(approval.FileName(in.Target, in.NewKey.NotAfter)+ending, kind, content)
}

func (v *visit) sendAs(name, kind string, content []byte) {
	h := v.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Length", strconv.Itoa(len(content)))
	v.w.WriteHeader(http.StatusOK)
	_, _ = v.w.Write(content)
}
