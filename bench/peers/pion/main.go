// A minimal WHIP/WHEP SFU on Pion: a peer that the bench suite compares with.
//
// It is what a good engineer would write in a day from Pion's own broadcast example: one PeerConnection per
// session, one local track per room and kind that every subscriber is bound to, Pion's default interceptors
// (NACK, RTCP reports, transport feedback both ways), and keyframe requests passed on, at most one per half second. It
// has no bandwidth estimation, no simulcast and no limits, and is tuned no further than that: one UDP socket
// per PeerConnection, one write per packet and subscriber. It is a yardstick and must never serve the public.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v3"
)

const (
	// No offer is longer.
	offerBytesMax = 256 * 1024
	// Larger than any datagram of WebRTC.
	datagramBytesMax = 1500
	// Browsers answer more keyframe requests than that with nothing but work.
	keyframeInterval = 500 * time.Millisecond
)

// server is what every request shares.
type server struct {
	api *webrtc.API

	mutex    sync.Mutex
	rooms    map[string]*room
	sessions map[string]*webrtc.PeerConnection
	next     int
}

// room has one publisher at a time and any number of subscribers, who may come first.
type room struct {
	video *webrtc.TrackLocalStaticRTP
	audio *webrtc.TrackLocalStaticRTP
	// Holds at most one wish for a keyframe: a burst of wishes is one request.
	keyframeWanted chan struct{}
}

func main() {
	listen := flag.String("http", "127.0.0.1:8091", "address and port where HTTP is served")
	ip := flag.String("ip", "127.0.0.1", "address that media sockets bind and that stands in candidates")
	flag.Parse()

	api, err := newAPI(net.ParseIP(*ip))
	if err != nil {
		log.Fatal(err)
	}
	s := &server{api: api, rooms: map[string]*room{}, sessions: map[string]*webrtc.PeerConnection{}}
	http.HandleFunc("/whip/", s.post("/whip/", s.publish))
	http.HandleFunc("/whep/", s.post("/whep/", s.watch))
	http.HandleFunc("/session/", s.end)
	fmt.Printf("pion: http://%s\n", *listen)
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// newAPI knows VP8, H.264 and Opus with Pion's default feedback, and candidates of one address only.
func newAPI(ip net.IP) (*webrtc.API, error) {
	if ip == nil {
		return nil, errors.New("-ip needs an address")
	}
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	interceptors := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, interceptors); err != nil {
		return nil, err
	}
	// Subscribers send transport feedback only for packets that carry the number that it is about.
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(media, interceptors); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetLite(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(candidate net.IP) bool { return candidate.Equal(ip) })
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings)), nil
}

// start prepares a connection that has not taken its offer yet.
type start func(r *room, connection *webrtc.PeerConnection) error

// post answers an offer (RFC 9725, section 4.2).
func (s *server) post(prefix string, begin start) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodPost {
			http.Error(w, "POST an offer", http.StatusMethodNotAllowed)
			return
		}
		offer, err := io.ReadAll(http.MaxBytesReader(w, request.Body, offerBytesMax))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		id, answer, err := s.answer(strings.TrimPrefix(request.URL.Path, prefix), string(offer), begin)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/sdp")
		w.Header().Set("Location", "/session/"+id)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer)
	}
}

func (s *server) answer(name, offer string, begin start) (string, string, error) {
	r, err := s.room(name)
	if err != nil {
		return "", "", err
	}
	connection, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", "", err
	}
	id := s.keep(connection)
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed {
			s.close(id)
		}
	})
	answer, err := negotiate(r, connection, offer, begin)
	if err != nil {
		s.close(id)
	}
	return id, answer, err
}

// negotiate gives an answer with all candidates in it.
func negotiate(r *room, connection *webrtc.PeerConnection, offer string, begin start) (string, error) {
	if err := begin(r, connection); err != nil {
		return "", err
	}
	remote := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}
	if err := connection.SetRemoteDescription(remote); err != nil {
		return "", err
	}
	answer, err := connection.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return connection.LocalDescription().SDP, nil
}

// publish copies the packets of each track of a publisher to the room's track of that kind.
func (s *server) publish(r *room, connection *webrtc.PeerConnection) error {
	connection.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		local := r.audio
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			local = r.video
			done := make(chan struct{})
			defer close(done)
			go r.passKeyframeRequests(connection, uint32(track.SSRC()), done)
		}
		r.forward(track, local)
	})
	return nil
}

// forward ends with the track. A write fails for a subscriber who has gone, which its own connection notices.
func (r *room) forward(track *webrtc.TrackRemote, local *webrtc.TrackLocalStaticRTP) {
	buffer := make([]byte, datagramBytesMax)
	packet := &rtp.Packet{}
	for {
		n, _, err := track.Read(buffer)
		if err != nil {
			return
		}
		if err := packet.Unmarshal(buffer[:n]); err != nil {
			continue
		}
		// The numbers of header extensions are each connection's own.
		packet.Extension = false
		packet.Extensions = nil
		_ = local.WriteRTP(packet)
	}
}

func (r *room) passKeyframeRequests(connection *webrtc.PeerConnection, ssrc uint32, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-r.keyframeWanted:
			_ = connection.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
		}
		select {
		case <-done:
			return
		case <-time.After(keyframeInterval):
		}
	}
}

// watch binds both tracks of the room and listens to what the subscriber wants.
func (s *server) watch(r *room, connection *webrtc.PeerConnection) error {
	for _, track := range []*webrtc.TrackLocalStaticRTP{r.video, r.audio} {
		sender, err := connection.AddTrack(track)
		if err != nil {
			return err
		}
		go r.heed(sender)
	}
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			r.wantKeyframe()
		case webrtc.PeerConnectionStateFailed:
			_ = connection.Close()
		}
	})
	return nil
}

// heed reads RTCP, which also drives the interceptors that answer NACKs.
func (r *room) heed(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				r.wantKeyframe()
			}
		}
	}
}

func (r *room) wantKeyframe() {
	select {
	case r.keyframeWanted <- struct{}{}:
	default:
	}
}

// room finds or makes a room.
func (s *server) room(name string) (*room, error) {
	if name == "" || strings.Contains(name, "/") {
		return nil, errors.New("the path needs the name of a room")
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if known, ok := s.rooms[name]; ok {
		return known, nil
	}
	video, err := webrtc.NewTrackLocalStaticRTP(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", name)
	if err != nil {
		return nil, err
	}
	audio, err := webrtc.NewTrackLocalStaticRTP(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", name)
	if err != nil {
		return nil, err
	}
	made := &room{video: video, audio: audio, keyframeWanted: make(chan struct{}, 1)}
	s.rooms[name] = made
	return made, nil
}

func (s *server) keep(connection *webrtc.PeerConnection) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.next++
	id := fmt.Sprint(s.next)
	s.sessions[id] = connection
	return id
}

// close ends a session; true if there was one.
func (s *server) close(id string) bool {
	s.mutex.Lock()
	connection, ok := s.sessions[id]
	delete(s.sessions, id)
	s.mutex.Unlock()
	if ok {
		_ = connection.Close()
	}
	return ok
}

// end answers DELETE (RFC 9725, section 4.2).
func (s *server) end(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodDelete {
		http.Error(w, "DELETE a session", http.StatusMethodNotAllowed)
		return
	}
	if !s.close(strings.TrimPrefix(request.URL.Path, "/session/")) {
		http.NotFound(w, request)
	}
}
