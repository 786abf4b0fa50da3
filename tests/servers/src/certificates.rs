//! Certificates for servers of the loopback interface and their clients, made anew for each test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

/// An authority, and whom it vouches for, as PEM files that go with this.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// A server at `localhost`, `127.0.0.1` and `::1`.
    pub server: Identity,
    /// A client.
    pub client: Identity,
    _folder: TempDir,
}

/// Somebody's certificate and key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority and has it sign for a server and a client.
    ///
    /// # Panics
    ///
    /// Where they cannot be made, or written to a temporary folder.
    #[must_use]
    pub fn make() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut params = CertificateParams::default();
        name(&mut params, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key can be made");
        let authority = params.self_signed(&key).expect("a certificate can be made");
        let path = folder.path().join("authority.pem");
        write(&path, &authority.pem());
        let issuer = Issuer::new(params, key);

        let names = ["localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec();
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let server = Identity::make(folder.path(), "server", names, usage, &issuer);
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let client = Identity::make(folder.path(), "client", Vec::new(), usage, &issuer);
        Self {
            authority: path,
            server,
            client,
            _folder: folder,
        }
    }
}

impl Identity {
    fn make(
        folder: &Path,
        file: &str,
        names: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
        issuer: &Issuer<'_, KeyPair>,
    ) -> Self {
        let mut params = CertificateParams::new(names).expect("names are names");
        name(&mut params, file);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params
            .signed_by(&key, issuer)
            .expect("a certificate can be made");
        let identity = Self {
            certificate: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
        };
        write(&identity.certificate, &certificate.pem());
        write(&identity.key, &key.serialize_pem());
        identity
    }
}

/// Gives a certificate a name of its own: OpenSSL takes one that is named like its issuer for the issuer's.
fn name(params: &mut CertificateParams, name: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
