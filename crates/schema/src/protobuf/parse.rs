//! From the text, or a descriptor, to the tables.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message as _;
use prost_reflect::prost_types::{DescriptorProto, FileDescriptorProto};
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, FileDescriptor, MessageDescriptor};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::{Defined, Enum, Field, Kind, Message, MessageNo, Protobuf};
use crate::limits;

/// The schema's own file, by a name that no import has.
const OWN: &str = "\u{1}schema.proto";

pub(super) fn parse(text: &str, used: &[(&str, &str)]) -> Result<Protobuf, String> {
    let mut files = HashMap::from([(OWN.to_owned(), text.to_owned())]);
    files.extend(used.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    for text in files.values() {
        not_too_deep(text)?;
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(Files(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(OWN).map_err(|error| error.to_string().replace(OWN, "the schema"))?;
    let pool = compiler.descriptor_pool();
    let file = pool.get_file_by_name(OWN).ok_or("the file is not in the compiler's pool")?;
    Ok(tables(&pool, &file))
}

/// Parsers recurse: what is nested deeper is no schema.
fn not_too_deep(text: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::DEPTH {
            return Err(format!("nested deeper than {} levels", limits::DEPTH));
        }
    }
    Ok(())
}

/// Files by name, and nothing else.
struct Files(HashMap<String, String>);

impl FileResolver for Files {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().filter(|name| self.0.contains_key(*name)).map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let text = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        match as_descriptor(text) {
            Some(mut descriptor) => {
                descriptor.name = Some(name.to_owned());
                Ok(File::from_file_descriptor_proto(descriptor))
            }
            None => File::from_source(name, text),
        }
    }
}

/// What clients without the text send: the compiled file, in base64. Text is never that: it holds spaces.
fn as_descriptor(text: &str) -> Option<FileDescriptorProto> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    FileDescriptorProto::decode(bytes.as_slice()).ok()
}

fn tables(pool: &DescriptorPool, file: &FileDescriptor) -> Protobuf {
    let numbers: HashMap<String, MessageNo> =
        pool.all_messages().enumerate().map(|(n, message)| (message.full_name().to_owned(), n)).collect();
    let enum_numbers: HashMap<String, usize> =
        pool.all_enums().enumerate().map(|(n, one)| (one.full_name().to_owned(), n)).collect();
    let messages = pool.all_messages().map(|message| of_message(&message, &numbers, &enum_numbers)).collect();
    let enums = pool
        .all_enums()
        .map(|one| Enum {
            name: without_package(one.full_name(), one.package_name()),
            values: one.values().map(|value| (value.number(), value.name().to_owned())).collect(),
        })
        .collect();
    Protobuf {
        package: file.package_name().to_owned(),
        messages,
        defined: file.messages().map(|message| defined(&message, &numbers)).collect(),
        enums,
        descriptor: descriptor(file).encode_to_vec(),
    }
}

fn defined(message: &MessageDescriptor, numbers: &HashMap<String, MessageNo>) -> Defined {
    let inside = message.child_messages().map(|child| defined(&child, numbers)).collect();
    Defined { message: numbers[message.full_name()], inside }
}

fn of_message(
    message: &MessageDescriptor,
    numbers: &HashMap<String, MessageNo>,
    enums: &HashMap<String, usize>,
) -> Message {
    let fields: BTreeMap<u32, Field> =
        message.fields().map(|field| (field.number(), of_field(&field, numbers, enums))).collect();
    // An `optional` field of proto3 stands in a oneof that is none.
    let oneofs = message.oneofs().filter(|oneof| !oneof.is_synthetic());
    Message {
        full_name: message.full_name().to_owned(),
        name: without_package(message.full_name(), message.package_name()),
        fields,
        oneofs: oneofs.map(|oneof| oneof.name().to_owned()).collect(),
        is_map_entry: message.is_map_entry(),
    }
}

fn of_field(
    field: &FieldDescriptor,
    numbers: &HashMap<String, MessageNo>,
    enums: &HashMap<String, usize>,
) -> Field {
    use prost_reflect::Kind as K;
    let kind = match field.kind() {
        K::Double => Kind::Double,
        K::Float => Kind::Float,
        K::Int32 => Kind::Int32,
        K::Int64 => Kind::Int64,
        K::Uint32 => Kind::Uint32,
        K::Uint64 => Kind::Uint64,
        K::Sint32 => Kind::Sint32,
        K::Sint64 => Kind::Sint64,
        K::Fixed32 => Kind::Fixed32,
        K::Fixed64 => Kind::Fixed64,
        K::Sfixed32 => Kind::Sfixed32,
        K::Sfixed64 => Kind::Sfixed64,
        K::Bool => Kind::Bool,
        K::String => Kind::String,
        K::Bytes => Kind::Bytes,
        K::Message(message) if field.is_group() => Kind::Group(numbers[message.full_name()]),
        K::Message(message) => Kind::Message(numbers[message.full_name()]),
        K::Enum(one) => Kind::Enum(enums[one.full_name()]),
    };
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    Field {
        name: field.name().to_owned(),
        kind,
        repeated: field.cardinality() == Cardinality::Repeated,
        required: field.cardinality() == Cardinality::Required,
        oneof: oneof.map(|oneof| oneof.name().to_owned()),
        implicit: !field.supports_presence() && field.cardinality() == Cardinality::Optional,
    }
}

fn without_package(full_name: &str, package: &str) -> String {
    let rest = full_name.strip_prefix(package).unwrap_or(full_name);
    rest.trim_start_matches('.').to_owned()
}

/// The file without its name, positions in its text, and names that follow from others.
fn descriptor(file: &FileDescriptor) -> FileDescriptorProto {
    let mut descriptor = file.file_descriptor_proto().clone();
    descriptor.name = None;
    descriptor.source_code_info = None;
    if descriptor.syntax.as_deref() == Some("proto2") {
        descriptor.syntax = None;
    }
    descriptor.message_type.iter_mut().for_each(forget_json_names);
    descriptor
}

fn forget_json_names(message: &mut DescriptorProto) {
    for field in &mut message.field {
        if field.json_name.as_deref() == Some(&json_name(field.name.as_deref().unwrap_or_default())) {
            field.json_name = None;
        }
    }
    message.nested_type.iter_mut().for_each(forget_json_names);
}

/// The name that a field has in JSON unless it says otherwise (protobuf.dev, "ProtoJSON Format").
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        match character {
            '_' => upper = true,
            _ if upper => {
                json.extend(character.to_uppercase());
                upper = false;
            }
            _ => json.push(character),
        }
    }
    json
}
