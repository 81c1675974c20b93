# Half of the build time is parsing the standard library's headers: precompile them, without
# touching the sources.
function(roadstead_precompile)
  foreach(target bitcoin_util bitcoin_common bitcoin_node)
    if(TARGET ${target})
      target_precompile_headers(${target} PRIVATE <algorithm> <map> <memory> <optional> <set>
        <string> <unordered_map> <vector> <functional> <chrono> <variant> <sstream> <deque>
        <atomic> <mutex> <thread> <iostream> <tuple> <span>)
    endif()
  endforeach()
endfunction()
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL roadstead_precompile)
