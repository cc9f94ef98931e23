//! Server reflection (`grpc.reflection.v1` and `v1alpha`): clients learn what can be called without a `.proto` file.

use api::generator::SERVICE;
use http::grpc::GrpcStatus;
use prost::Message as _;

use crate::backend::grpc::method::{HEALTH, REFLECTION, REFLECTION_ALPHA};

/// One `FileDescriptorProto` each, as protoc makes it; `tests/grpc.rs` compares the first with its `.proto` file, and writes it.
const FILES: [&[u8]; 4] = [
    include_bytes!("descriptors/generator.bin"),
    include_bytes!("descriptors/health.bin"),
    include_bytes!("descriptors/reflection.bin"),
    include_bytes!("descriptors/reflection_v1alpha.bin"),
];

/// What can be asked, one of all these; the rest of the message is not needed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ServerReflectionRequest {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
    #[prost(message, optional, tag = "5")]
    file_containing_extension: Option<ExtensionRequest>,
    #[prost(string, optional, tag = "6")]
    all_extension_numbers_of_type: Option<String>,
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ExtensionRequest {
    #[prost(string, tag = "1")]
    containing_type: String,
    #[prost(int32, tag = "2")]
    extension_number: i32,
}

/// One of the last three is there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ServerReflectionResponse {
    #[prost(string, tag = "1")]
    valid_host: String,
    #[prost(message, optional, tag = "2")]
    original_request: Option<ServerReflectionRequest>,
    #[prost(message, optional, tag = "4")]
    file_descriptor_response: Option<FileDescriptorResponse>,
    #[prost(message, optional, tag = "6")]
    list_services_response: Option<ListServiceResponse>,
    #[prost(message, optional, tag = "7")]
    error_response: Option<ErrorResponse>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct FileDescriptorResponse {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file_descriptor_proto: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ListServiceResponse {
    #[prost(message, repeated, tag = "1")]
    service: Vec<ServiceResponse>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ServiceResponse {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ErrorResponse {
    #[prost(int32, tag = "1")]
    error_code: i32,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl ServerReflectionRequest {
    pub(super) fn answer(self) -> ServerReflectionResponse {
        let mut response =
            ServerReflectionResponse { valid_host: self.host.clone(), ..ServerReflectionResponse::default() };
        let file = if self.list_services.is_some() {
            let names = [SERVICE, HEALTH, REFLECTION, REFLECTION_ALPHA];
            let service = names.map(|name| ServiceResponse { name: name.to_owned() }).to_vec();
            response.list_services_response = Some(ListServiceResponse { service });
            response.original_request = Some(self);
            return response;
        } else if let Some(name) = &self.file_by_filename {
            find(|file| file.name == *name).ok_or((GrpcStatus::NOT_FOUND, format!("no file {name}")))
        } else if let Some(symbol) = &self.file_containing_symbol {
            find(|file| file.defines(symbol)).ok_or((GrpcStatus::NOT_FOUND, format!("no symbol {symbol}")))
        } else if self.file_containing_extension.is_some() || self.all_extension_numbers_of_type.is_some() {
            Err((GrpcStatus::NOT_FOUND, "no extensions".to_owned()))
        } else {
            Err((GrpcStatus::INVALID_ARGUMENT, "the request asks for nothing".to_owned()))
        };
        match file {
            Ok(file) => {
                let file_descriptor_proto = vec![file.to_vec()];
                response.file_descriptor_response = Some(FileDescriptorResponse { file_descriptor_proto });
            }
            Err((status, error_message)) => {
                response.error_response = Some(ErrorResponse { error_code: status.0 as i32, error_message });
            }
        }
        response.original_request = Some(self);
        response
    }
}

fn find(is_it: impl Fn(&FileDescriptor) -> bool) -> Option<&'static [u8]> {
    FILES.into_iter().find(|file| FileDescriptor::decode(*file).is_ok_and(|file| is_it(&file)))
}

/// The names in a `FileDescriptorProto`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct FileDescriptor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "4")]
    messages: Vec<MessageDescriptor>,
    #[prost(message, repeated, tag = "6")]
    services: Vec<ServiceDescriptor>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct MessageDescriptor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<NamedDescriptor>,
    #[prost(message, repeated, tag = "3")]
    nested: Vec<NamedDescriptor>,
    #[prost(message, repeated, tag = "4")]
    enums: Vec<NamedDescriptor>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ServiceDescriptor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<NamedDescriptor>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct NamedDescriptor {
    #[prost(string, tag = "1")]
    name: String,
}

impl FileDescriptor {
    /// A service or a message of that full name, or something in one.
    fn defines(&self, symbol: &str) -> bool {
        let local = symbol.strip_prefix(&self.package).and_then(|rest| rest.strip_prefix('.'));
        let Some(local) = local else { return false };
        let (outer, inner) = match local.split_once('.') {
            Some((outer, inner)) => (outer, Some(inner)),
            None => (local, None),
        };
        let has = |names: &[NamedDescriptor]| inner.is_none_or(|inner| names.iter().any(|it| it.name == inner));
        self.services.iter().any(|it| it.name == outer && has(&it.methods))
            || self.messages.iter().any(|it| it.name == outer && (has(&it.fields) || has(&it.nested) || has(&it.enums)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> ServerReflectionResponse {
        let request = ServerReflectionRequest { file_containing_symbol: Some(name.to_owned()), ..Default::default() };
        request.answer()
    }

    #[test]
    fn what_is_listed_is_described() {
        let listed = ServerReflectionRequest { list_services: Some(String::new()), ..Default::default() }.answer();
        let services = listed.list_services_response.unwrap().service;
        assert_eq!(services.len(), FILES.len());
        for ServiceResponse { name } in services {
            let files = symbol(&name).file_descriptor_response.unwrap().file_descriptor_proto;
            let file = FileDescriptor::decode(&files[0][..]).unwrap();
            let by_name = ServerReflectionRequest { file_by_filename: Some(file.name), ..Default::default() }.answer();
            assert_eq!(by_name.file_descriptor_response.unwrap().file_descriptor_proto, files);
        }
    }

    #[test]
    fn symbols_are_found_by_their_full_names_alone() {
        for name in [
            "uuid.v1.Generator.Echo",
            "uuid.v1.Event.written_ns",
            "grpc.health.v1.HealthCheckResponse.ServingStatus",
            "grpc.reflection.v1.ServerReflectionRequest",
        ] {
            assert!(symbol(name).file_descriptor_response.is_some(), "{name}");
        }
        for name in ["", "uuid.v1", "Generator", "uuid.v1.Generator.Nope", "uuid.v1.", "uuid.v1.GeneratorX"] {
            assert_eq!(symbol(name).error_response.unwrap().error_code, 5, "{name}");
        }
    }
}
