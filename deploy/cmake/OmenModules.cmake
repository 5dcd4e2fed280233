# OmenModules.cmake - om_module(): one OBJECT library a module, seeing only what it names.
# SPDX-License-Identifier: Apache-2.0
#
# For a module <m> there are two targets: om_<m>_api carries the include path of <m>/include and of
# what <m> depends on; om_<m> is the code. Users of a module link the first, libraries and tests
# collect the second. A forbidden include therefore does not compile.

define_property(GLOBAL PROPERTY OM_MODULES BRIEF_DOCS "All modules, in layer order")
define_property(GLOBAL PROPERTY OM_BUILT BRIEF_DOCS "The modules that have code")
define_property(GLOBAL PROPERTY OM_LIBS BRIEF_DOCS "System libraries that the modules link")

# Adds the modules of a folder in layer order.
function(om_modules folder)
    foreach(module IN LISTS ARGN)
        set_property(GLOBAL APPEND PROPERTY OM_MODULES ${module})
        set(dir ${PROJECT_SOURCE_DIR}/${folder}/${module})
        add_library(om_${module}_api INTERFACE)
        target_include_directories(om_${module}_api INTERFACE ${dir}/include)
        if(module STREQUAL "base")
            # The public header is the table of status codes for everything inside.
            target_include_directories(om_base_api INTERFACE
                ${PROJECT_SOURCE_DIR}/capi/include ${PROJECT_BINARY_DIR}/generated)
        endif()
        add_subdirectory(${dir} ${PROJECT_BINARY_DIR}/${folder}/${module})
    endforeach()
endfunction()

# Adds a folder that is not a module, when it has something to build.
function(om_part folder)
    if(EXISTS ${PROJECT_SOURCE_DIR}/${folder}/CMakeLists.txt)
        add_subdirectory(${PROJECT_SOURCE_DIR}/${folder} ${PROJECT_BINARY_DIR}/${folder})
    endif()
endfunction()

# om_module(<name> [DEPENDS <modules>] [FOLDERS <folders>] SOURCES <files> [LIBS <libraries>])
# FOLDERS are parts of a large module, whose headers its other parts see.
# LIBS are system libraries by linker name (xxhash), passed on to whatever links the module.
function(om_module name)
    cmake_parse_arguments(ARG "" "" "DEPENDS;FOLDERS;SOURCES;LIBS" ${ARGN})
    if(ARG_UNPARSED_ARGUMENTS OR NOT ARG_SOURCES)
        message(FATAL_ERROR "om_module(${name}): SOURCES missing, or not understood: "
            "${ARG_UNPARSED_ARGUMENTS}")
    endif()
    get_property(modules GLOBAL PROPERTY OM_MODULES)
    list(FIND modules ${name} own)
    foreach(depend IN LISTS ARG_DEPENDS)
        list(FIND modules ${depend} at)
        if(at LESS 0 OR NOT at LESS own)
            message(FATAL_ERROR "om_module(${name}): ${depend} does not stand before it in the order")
        endif()
        target_link_libraries(om_${name}_api INTERFACE om_${depend}_api)
    endforeach()

    add_library(om_${name} OBJECT ${ARG_SOURCES})
    set(own ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/src)
    foreach(folder IN LISTS ARG_FOLDERS)
        list(APPEND own ${CMAKE_CURRENT_SOURCE_DIR}/${folder})
    endforeach()
    target_include_directories(om_${name} PRIVATE ${own})
    target_link_libraries(om_${name} PUBLIC om_${name}_api PRIVATE omen_flags)
    set_target_properties(om_${name} PROPERTIES OM_DEPENDS "${ARG_DEPENDS}" OM_LIBS "${ARG_LIBS}"
        OM_PRIVATE "${own}")
    set_property(GLOBAL APPEND PROPERTY OM_BUILT ${name})
    set_property(GLOBAL APPEND PROPERTY OM_LIBS ${ARG_LIBS})
endfunction()

# The modules named and all they stand on -> out.
function(om_module_closure out)
    set(todo ${ARGN})
    set(seen "")
    while(todo)
        list(POP_FRONT todo module)
        if(NOT module IN_LIST seen)
            list(APPEND seen ${module})
            get_target_property(depends om_${module} OM_DEPENDS)
            list(APPEND todo ${depends})
        endif()
    endwhile()
    set(${out} "${seen}" PARENT_SCOPE)
endfunction()
