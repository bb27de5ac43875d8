//! Offers as browsers write them, in a few variations.

#[derive(Clone)]
pub struct Offer {
    pub direction: &'static str,
    pub setup: &'static str,
    /// `audio` or `video`, in the order of the sections.
    pub sections: Vec<&'static str>,
    /// The video codecs: encoding names with payload types from 96 on.
    pub video_codecs: Vec<&'static str>,
    /// Lines taken out of every section.
    pub without: &'static str,
    pub ufrag: &'static str,
}

impl Offer {
    pub fn publisher() -> Self {
        Self {
            direction: "sendonly",
            setup: "actpass",
            sections: vec!["audio", "video"],
            video_codecs: vec!["VP8", "H264"],
            without: "(nothing)",
            ufrag: "EsAw",
        }
    }

    pub fn subscriber() -> Self {
        Self { direction: "recvonly", ..Self::publisher() }
    }

    pub fn to_sdp(&self) -> String {
        let mids: Vec<String> = (0..self.sections.len()).map(|mid| mid.to_string()).collect();
        let mut sdp = format!(
            "v=0\r\no=- 5228595038118931041 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n\
             a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
            mids.join(" ")
        );
        for (mid, kind) in self.sections.iter().enumerate() {
            let lines = self.section(mid, kind);
            for line in lines.lines().filter(|line| !line.starts_with(self.without)) {
                sdp.push_str(line);
                sdp.push_str("\r\n");
            }
        }
        sdp
    }

    fn section(&self, mid: usize, kind: &str) -> String {
        let fingerprint = ["AB"; 32].join(":");
        let mut lines = match kind {
            "audio" => "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=rtpmap:111 opus/48000/2\n\
                        a=fmtp:111 minptime=10;useinbandfec=1\n"
                .to_owned(),
            _ => {
                let types: Vec<String> =
                    (0..self.video_codecs.len()).map(|at| (96 + at).to_string()).collect();
                let mut lines = format!("m=video 9 UDP/TLS/RTP/SAVPF {}\n", types.join(" "));
                for (codec, payload_type) in self.video_codecs.iter().zip(&types) {
                    lines.push_str(&format!("a=rtpmap:{payload_type} {codec}/90000\n"));
                    lines.push_str(&format!(
                        "a=rtcp-fb:{payload_type} nack\na=rtcp-fb:{payload_type} nack pli\n"
                    ));
                    if *codec == "H264" {
                        let parameters =
                            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
                        lines.push_str(&format!("a=fmtp:{payload_type} {parameters}\n"));
                    }
                }
                lines
            }
        };
        lines.push_str(&format!(
            "c=IN IP4 0.0.0.0\na=rtcp:9 IN IP4 0.0.0.0\na=ice-ufrag:{}\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n\
             a=ice-options:trickle\na=fingerprint:sha-256 {fingerprint}\na=setup:{}\na=mid:{mid}\n\
             a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\na={}\na=rtcp-mux\na=rtcp-rsize\n",
            self.ufrag, self.setup, self.direction
        ));
        if self.direction != "recvonly" {
            lines.push_str(&format!("a=msid:stream {kind}{mid}\na=ssrc:{} cname:a\n", 1000 + mid));
        }
        lines
    }
}
