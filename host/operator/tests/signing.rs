//! Keys and signatures: what RFC 8032 says, what OpenSSL makes of them and with them, and who may read a key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use ed25519_dalek::{Signature, VerifyingKey};
use starling_operator::signing::{SigningError, new_key, sign};

/// Test 3 of section 7.1 of RFC 8032, its key written by `openssl pkey` and its signature in base64.
const RFC_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIMWqjfQ/n4N77bdELzHct7Fm04U1B28JS4XOOi4LRFj3
-----END PRIVATE KEY-----
";
const RFC_MESSAGE: &[u8] = &[0xaf, 0x82];
const RFC_SIGNATURE: &str =
    "YpHWV97sJAJIJ+acOr4BowzlSKKEdDpEXjaA19taw6wY/5tTjRbykK5n92CYTcZZSnwV6XFu0o3AJ77O6h7ECg==";

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The standard output of a program. None, if it is not installed.
fn openssl(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = match Command::new("openssl").args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {told}");
    Some(output.stdout)
}

#[test]
fn rfc_8032_section_7_1_test_3() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (folder.path().join("key"), folder.path().join("a.wasm"));
    write(&key, RFC_KEY.as_bytes(), 0o600);
    fs::write(&file, RFC_MESSAGE).unwrap();
    let signature = fs::read_to_string(sign(&file, &key).unwrap()).unwrap();
    assert_eq!(signature, format!("{RFC_SIGNATURE}\n"));
}

#[test]
fn a_new_key_signs_and_its_public_half_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (folder.path().join("key"), folder.path().join("a.wasm"));
    let public = new_key(&key).unwrap();
    assert_eq!(public, folder.path().join("key.pub"));
    assert_eq!(mode(&key), 0o600);
    assert_eq!(mode(&public) & 0o133, 0);
    let public = fs::read_to_string(public).unwrap();
    let public = VerifyingKey::from_public_key_pem(&public).unwrap();
    // A signature of before is written over.
    for component in [&b"the component"[..], b"the next"] {
        fs::write(&file, component).unwrap();
        let path = sign(&file, &key).unwrap();
        assert_eq!(path, folder.path().join("a.wasm.sig"));
        let signature = fs::read_to_string(path).unwrap();
        let signature = STANDARD.decode(signature.trim_end()).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        public.verify_strict(component, &signature).unwrap();
    }
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn openssl_reads_the_keys_and_makes_the_same_signature() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (own, theirs, file) = (at("own"), at("theirs"), at("a.wasm"));
    new_key(Path::new(&own)).unwrap();
    fs::write(&file, "the component").unwrap();
    if openssl(&["genpkey", "-algorithm", "ed25519", "-out", &theirs]).is_none() {
        eprintln!("openssl is not installed: nothing is compared");
        return;
    }
    let public = openssl(&["pkey", "-in", &own, "-pubout"]).unwrap();
    assert_eq!(public, fs::read(at("own.pub")).unwrap());
    let private = openssl(&["pkey", "-in", &own]).unwrap();
    assert_eq!(private, fs::read(&own).unwrap());
    write(Path::new(&theirs), &fs::read(&theirs).unwrap(), 0o600);
    for key in [&own, &theirs] {
        let signature = sign(Path::new(&file), Path::new(key)).unwrap();
        let signature = fs::read_to_string(signature).unwrap();
        let arguments = ["pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", &file];
        let expected = STANDARD.encode(openssl(&arguments).unwrap());
        assert_eq!(signature.trim_end(), expected);
    }
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    for there in ["key", "key.pub"] {
        let path = folder.path().join(there);
        fs::write(&path, "precious").unwrap();
        let error = new_key(&folder.path().join("key")).unwrap_err();
        assert!(
            matches!(&error, SigningError::Exists(named) if *named == path),
            "{error:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_key_that_others_can_read_does_not_sign() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (folder.path().join("key"), folder.path().join("a.wasm"));
    fs::write(&file, RFC_MESSAGE).unwrap();
    for mode in [0o640, 0o604, 0o660] {
        write(&key, RFC_KEY.as_bytes(), mode);
        let error = sign(&file, &key).unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, SigningError::Exposed { .. }), "{told}");
        assert!(told.contains(&format!("{mode:04o}")), "{told}");
    }
    assert!(!folder.path().join("a.wasm.sig").exists());
}

#[test]
fn what_is_no_key_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let (key, file) = (folder.path().join("key"), folder.path().join("a.wasm"));
    fs::write(&file, RFC_MESSAGE).unwrap();
    let truncated = RFC_KEY.replace("MC4CAQAwBQYDK2VwBCIEIMWqjfQ", "");
    for text in [&b"s3cret"[..], b"\xff\xfe", truncated.as_bytes()] {
        write(&key, text, 0o600);
        let error = sign(&file, &key).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(matches!(error, SigningError::NoKey(_)), "{told}");
        assert!(
            !told.contains("s3cret") && !told.contains("t7Fm04U1B2"),
            "{told}"
        );
    }
}
