//! Whether what the API answers is what its document says: openapi.json, held against every answer that
//! any test gets.
//!
//! Stricter than a client may be: what the document does not name is taken for a mistake, be it a status,
//! a header, a member, or a parameter of a request that succeeds.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

/// The document, as it is served.
pub(crate) const DOCUMENT: &str = include_str!("../../src/openapi.json");

/// What every answer may have besides what the document says, in the order of the alphabet.
const HEADERS_OF_ALL: [&str; 13] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "cache-control",
    "content-length",
    "content-security-policy",
    "content-type",
    "referrer-policy",
    "vary",
    "voicemail-access",
    "x-content-type-options",
];

/// The headers of a request that mean something here.
const REQUEST_HEADERS: [&str; 6] = [
    "idempotency-key",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
    "traceparent",
];

/// Where the document is, for references into it.
const ADDRESS: &str = "http://localhost/openapi.json";

/// The document, ready to be held against answers.
pub(crate) struct Contract {
    document: Value,
    schemas: Schemas,
    /// The schemas that were compiled, by themselves.
    compiled: BTreeMap<String, SchemaIndex>,
}

/// A request, as far as the document speaks of it.
pub(crate) struct Sent<'a> {
    pub(crate) method: &'a Method,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Option<&'a [u8]>,
}

/// An answer.
pub(crate) struct Got<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// Whether the body is all that was meant.
    pub(crate) whole: bool,
}

impl Contract {
    /// The one of this process.
    pub(crate) fn get() -> &'static Self {
        static CONTRACT: OnceLock<Contract> = OnceLock::new();
        CONTRACT.get_or_init(Self::read)
    }

    fn read() -> Self {
        let mut document: Value = serde_json::from_str(DOCUMENT).expect("the document is JSON");
        for schema in members(&mut document["components"]["schemas"]).values_mut() {
            close(schema);
        }
        let names = members(&mut document["components"]["schemas"]).keys();
        let mut inline: Vec<_> = names
            .map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }))
            .collect();
        schemas_in(&document, &mut inline);
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler
            .add_resource(ADDRESS, document.clone())
            .expect("the document can be referred to");
        let mut schemas = Schemas::new();
        let mut compiled = BTreeMap::new();
        for (number, schema) in inline.into_iter().enumerate() {
            let key = schema.to_string();
            if compiled.contains_key(&key) {
                continue;
            }
            let mut schema = schema;
            refer(&mut schema);
            let address = format!("http://localhost/{number}.json");
            compiler
                .add_resource(&address, schema)
                .expect("a schema can be referred to");
            let index = compiler
                .compile(&address, &mut schemas)
                .unwrap_or_else(|error| panic!("{key} is no schema: {error:#}"));
            compiled.insert(key, index);
        }
        Self {
            document,
            schemas,
            compiled,
        }
    }

    /// The paths, and what there is of each.
    pub(crate) fn paths(&self) -> &Map<String, Value> {
        self.document["paths"].as_object().expect("paths")
    }

    /// The document.
    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// What a reference leads to; anything else is itself.
    pub(crate) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a reference within");
                self.document.pointer(pointer).expect(reference)
            }
            None => value,
        }
    }

    /// Whether a documented path names this one.
    pub(crate) fn names(&self, template: &str, path: &str) -> bool {
        let (mut template, mut path) = (template.split('/'), path.split('/'));
        loop {
            match (template.next(), path.next()) {
                (None, None) => return true,
                (Some(one), Some(other))
                    if one == other || one.starts_with('{') && !other.is_empty() => {}
                _ => return false,
            }
        }
    }

    /// What is documented of a path.
    fn path(&self, path: &str) -> Option<&Value> {
        let mut paths = self.paths().iter();
        paths
            .find(|(template, _)| self.names(template, path))
            .map(|(_, item)| item)
    }

    /// Checks an answer, and the request if it has succeeded.
    #[track_caller]
    pub(crate) fn check(&self, sent: &Sent<'_>, got: &Got<'_>) {
        let what = format!("{} {}: {}", sent.method, sent.target, got.status);
        let (path, query) = sent.target.split_once('?').unwrap_or((sent.target, ""));
        if path == "/maintenance" || got.headers.contains_key("access-control-max-age") {
            return;
        }
        let operation = self.path(path).map(|path| {
            let name = sent.method.as_str().to_ascii_lowercase();
            (path, path.get(&name))
        });
        let (path, operation) = match operation {
            Some((path, Some(operation))) => (path, operation),
            Some((_, None)) => {
                let refusal = &self.document["components"]["responses"]["MethodNotAllowed"];
                assert!([405, 204].contains(&got.status), "{what}");
                return self.check_response(&what, refusal, got);
            }
            None => {
                let refusal = &self.document["components"]["responses"]["NothingThere"];
                assert_eq!(got.status, 404, "{what}");
                return self.check_response(&what, refusal, got);
            }
        };
        let responses = &operation["responses"];
        let status = got.status.to_string();
        let range = format!("{}XX", &status[..1]);
        let response = responses.get(&status).or_else(|| responses.get(&range));
        let response = response.unwrap_or_else(|| panic!("{what} is not documented"));
        self.check_response(&what, self.resolve(response), got);
        if got.status < 300 {
            self.check_request(&what, path, operation, query, sent);
        }
    }

    #[track_caller]
    fn check_response(&self, what: &str, response: &Value, got: &Got<'_>) {
        let documented = response["headers"].as_object();
        let documented: BTreeMap<_, _> = documented
            .into_iter()
            .flatten()
            .map(|(name, header)| (name.to_ascii_lowercase(), self.resolve(header)))
            .collect();
        for (name, header) in &documented {
            let value = got.headers.get(name).map(|it| it.to_str().expect("ASCII"));
            match value {
                Some(value) if header["schema"]["type"] == "integer" => {
                    let number: u64 = value.parse().expect("a number");
                    self.validate(
                        &format!("{what}: {name}"),
                        &header["schema"],
                        &json!(number),
                    );
                }
                Some(value) => {
                    self.validate(&format!("{what}: {name}"), &header["schema"], &json!(value));
                }
                None => assert_ne!(header["required"], true, "{what}: {name} is missing"),
            }
        }
        for name in got.headers.keys().map(http::HeaderName::as_str) {
            let known = documented.contains_key(name) || HEADERS_OF_ALL.contains(&name);
            assert!(known, "{what}: the header {name} is not documented");
        }
        let declared = got.headers.get("content-type");
        let declared = declared.map(|it| it.to_str().expect("ASCII"));
        let essence = declared.map(|it| it.split(';').next().unwrap_or_default());
        let Some(content) = response["content"].as_object() else {
            assert!(got.body.is_empty(), "{what}: a body is not documented");
            return;
        };
        let essence = essence.unwrap_or_else(|| panic!("{what}: a body without a type"));
        let content = content.iter().find(|(media_type, _)| {
            let all = media_type.strip_suffix('*');
            *media_type == essence || all.is_some_and(|all| essence.starts_with(all))
        });
        let (_, content) = content.unwrap_or_else(|| panic!("{what}: {essence} is not documented"));
        if !got.whole {
            return;
        }
        if essence.ends_with("json") && essence != "application/x-ndjson" {
            let body = serde_json::from_slice(got.body).expect("JSON");
            self.validate(what, &content["schema"], &body);
        } else if essence == "application/x-ndjson" {
            for line in got.body.split(|byte| *byte == b'\n') {
                if !line.is_empty() {
                    let line = serde_json::from_slice(line).expect("JSON");
                    self.validate(what, &content["schema"]["contentSchema"], &line);
                }
            }
        }
    }

    #[track_caller]
    fn check_request(
        &self,
        what: &str,
        path: &Value,
        operation: &Value,
        query: &str,
        sent: &Sent<'_>,
    ) {
        let parameters = [&path["parameters"], &operation["parameters"]];
        let parameters: Vec<_> = parameters
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|parameter| self.resolve(parameter))
            .collect();
        let documents = |place: &str, name: &str| {
            parameters.iter().any(|it| {
                let documented = it["name"].as_str().expect("a name");
                it["in"] == place && documented.eq_ignore_ascii_case(name)
            })
        };
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            let documented = documents("query", &name);
            assert!(documented, "{what}: {name} is not documented");
        }
        for name in sent.headers.keys().map(http::HeaderName::as_str) {
            let meant = REQUEST_HEADERS.contains(&name) || name.starts_with("voicemail-");
            let ignored = sent.method == Method::HEAD && ["range", "if-range"].contains(&name);
            let documented = documents("header", name) || ignored;
            assert!(!meant || documented, "{what}: {name} is not documented");
        }
        let declared = sent.headers.get("content-type");
        let declared = declared.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let schema = &operation["requestBody"]["content"][declared]["schema"];
        if let (Some(body), true) = (sent.body, declared.ends_with("json") && !schema.is_null())
            && !body.is_empty()
            && declared != "application/x-ndjson"
        {
            let body = serde_json::from_slice(body).expect("JSON");
            self.validate(&format!("the request of {what}"), schema, &body);
        }
    }

    /// Checks a value by a schema of this name.
    #[track_caller]
    pub(crate) fn validate_named(&self, name: &str, value: &Value) {
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        self.validate(name, &reference, value);
    }

    /// Checks a value by a schema of the document.
    #[track_caller]
    pub(crate) fn validate(&self, what: &str, schema: &Value, value: &Value) {
        let index = self.compiled.get(&schema.to_string());
        let index = index.unwrap_or_else(|| panic!("{what}: no schema {schema}"));
        if let Err(error) = self.schemas.validate(value, *index) {
            panic!("{what}: {error:#}\n{value:#}");
        }
    }
}

fn members(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

/// Takes what a schema does not name for a mistake.
fn close(schema: &mut Value) {
    if schema["type"] == "object" && schema.get("properties").is_some() {
        let members = members(schema);
        members
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
        for property in self::members(&mut members["properties"]).values_mut() {
            if property.is_object() {
                close(property);
            }
        }
    }
}

/// All schemas that stand in the place of one.
fn schemas_in(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let named = name == "schema" || name == "contentSchema";
                if named && (value.is_object() || value.is_boolean()) {
                    found.push(value.clone());
                }
                schemas_in(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| schemas_in(item, found)),
        _ => {}
    }
}

/// Makes references lead into the document from wherever they stand.
fn refer(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(reference) if name == "$ref" => {
                        *reference = format!("{ADDRESS}{reference}");
                    }
                    other => refer(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(refer),
        _ => {}
    }
}
