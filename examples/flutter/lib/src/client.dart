import 'dart:convert';
import 'dart:typed_data';

import 'package:http/http.dart' as http;

import 'answer.dart';

/// A client of one API, for whoever is signed in.
class TryonMasks {
  /// [apiUrl] has no slash at its end. [token] gives a fresh ID token, such as
  /// `() async => (await FirebaseAuth.instance.currentUser!.getIdToken())!`.
  TryonMasks(
    this.apiUrl,
    this.token, {
    http.Client? client,
    this.patience = const Duration(minutes: 3),
  }) : _http = client ?? http.Client();

  final String apiUrl;
  final Future<String> Function() token;

  /// How long a job is waited for.
  final Duration patience;

  final http.Client _http;

  /// Upload a photo, and wait for its masks.
  ///
  /// Where the answer has `people`, ask which one is meant, and call again with that one's box.
  ///
  /// Throws an [ApiException] where the API has no answer.
  Future<MaskAnswer> masksOf(
    Uint8List photo, {
    String contentType = 'image/jpeg',
    List<String> masks = const ['upper', 'lower'],
    String profile = 'body',
    List<double>? personBox,
  }) async {
    final taken = await _call('POST', '/v1/uploads', body: {
      'content_type': contentType,
      'masks': masks,
      'profile': profile,
      if (personBox != null) 'person_box': personBox,
    });
    final form = taken.json['upload'] as Map<String, dynamic>;
    await _send(form, photo);
    return _finished(taken.json['job'] as String);
  }

  /// The form goes to S3, and needs no token: it is signed.
  Future<void> _send(Map<String, dynamic> form, Uint8List photo) async {
    final request = http.MultipartRequest('POST', Uri.parse(form['url'] as String))
      ..fields.addAll(Map<String, String>.from(form['fields'] as Map))
      ..files.add(http.MultipartFile.fromBytes('file', photo, filename: 'photo'));
    final response = await http.Response.fromStream(await _http.send(request));
    if (response.statusCode >= 300) {
      throw ApiException(response.statusCode, 'UPLOAD_FAILED', response.body);
    }
  }

  Future<MaskAnswer> _finished(String path) async {
    final waited = Stopwatch()..start();
    while (true) {
      final job = await _call('GET', path);
      final state = job.json['state'] as String;
      if (state == 'error') {
        throw ApiException.fromJson(null, job.json['answer'] as Map<String, dynamic>);
      }
      if (state != 'queued' && state != 'running') {
        return MaskAnswer.fromJson(job.json['answer'] as Map<String, dynamic>);
      }
      if (waited.elapsed > patience) {
        throw const ApiException(null, 'NOT_IN_TIME', 'The job is not done yet.');
      }
      await Future<void>.delayed(Duration(seconds: job.retryAfter ?? 2));
    }
  }

  Future<_Answer> _call(String method, String path, {Map<String, dynamic>? body}) async {
    final request = http.Request(method, Uri.parse('$apiUrl$path'))
      ..headers['authorization'] = 'Bearer ${await token()}';
    if (body != null) {
      request.headers['content-type'] = 'application/json';
      request.body = jsonEncode(body);
    }
    final response = await http.Response.fromStream(await _http.send(request));
    final json = jsonDecode(utf8.decode(response.bodyBytes)) as Map<String, dynamic>;
    if (response.statusCode >= 300) {
      throw ApiException.fromJson(response.statusCode, json);
    }
    return _Answer(json, int.tryParse(response.headers['retry-after'] ?? ''));
  }
}

class _Answer {
  const _Answer(this.json, this.retryAfter);

  final Map<String, dynamic> json;
  final int? retryAfter;
}
